// A reporter for tap: one line per test file, every failure with its details,
// and "N passed, N failed" as the last line.
//
// What counts as one test: a test function (or a file) that makes assertions itself.
// A group that only holds other tests is not counted, unless it fails on its own.
// A file that crashes, times out or never starts is at least one failed test.
//
// It is a Transform, because tap pipes it on to stdout.

import { Transform } from 'node:stream'
import { inspect } from 'node:util'
import { Parser } from 'tap-parser'

/** What one parser has seen so far: the whole run, a file, or a test. */
class Scope {
  asserts = 0
  failedAsserts = 0
  children = 0
  timedOut = false
  open = null // the child whose closing line has not come yet
  tally = { passed: 0, failed: 0, skipped: 0 } // of everything below, too

  constructor (name, parent) {
    this.name = unescape(name)
    this.parent = parent
  }

  get path () {
    return this.parent?.name ? `${this.parent.path} > ${this.name}` : this.name
  }

  count (what) {
    for (let scope = this; scope; scope = scope.parent) scope.tally[what]++
  }
}

export default class TapReporter extends Transform {
  #parser = new Parser()
  #run = new Scope('', null)
  #asserts = 0
  #failures = [] // titles, for the list at the end
  #lines = [] // what to print below the line of the current file
  #bailout = null
  #started = Date.now()

  constructor () {
    super()
    this.#watch(this.#parser, this.#run)
    // What tests print to stdout arrives here.
    this.#parser.on('extra', (text) => this.#lines.push(text.trimEnd()))
    this.#parser.on('bailout', (reason) => { this.#bailout = reason || 'no reason given' })
  }

  _transform (chunk, encoding, done) {
    this.#parser.write(chunk)
    done()
  }

  _flush (done) {
    if (this.#parser.results) this.#finish(this.#parser.results)
    else {
      this.#parser.once('complete', (results) => this.#finish(results))
      this.#parser.end()
    }
    done()
  }

  #watch (parser, scope) {
    parser.on('child', (child) => {
      this.#closeUnfinished(scope)
      scope.children++
      scope.open = new Scope(child.name, scope)
      this.#watch(child, scope.open)
    })
    parser.on('assert', (result) => {
      const test = result.closingTestPoint ? scope.open : null
      if (test) {
        scope.open = null
        this.#closeTest(result, test)
      } else {
        this.#closeUnfinished(scope)
        this.#assertion(result, scope)
      }
      if (scope === this.#run) this.#printFile(result, test)
    })
  }

  /** An assertion made by the scope itself. At the top: a file that said nothing. */
  #assertion (result, scope) {
    if (isPutOff(result)) return this.#putOff(result, scope, unescape(result.name))
    const title = [scope.path, unescape(result.name)].filter(Boolean).join(' > ')
    if (scope === this.#run) {
      // A file that timed out has been counted. tap writes this notice beside it.
      const notice = result.diag?.expired && scope.tally.failed > 0
      if (notice) return this.#lines.push('  tap put this notice in the place of a file: the results of that file are missing')
      scope.count(result.ok ? 'passed' : 'failed')
      if (!result.ok) this.#fail(title, result)
      return
    }
    this.#asserts++
    scope.asserts++
    if (result.ok) return
    scope.failedAsserts++
    if (result.diag?.expired) for (let s = scope; s; s = s.parent) s.timedOut = true
    this.#fail(title, result)
  }

  /** The line that says how a whole test went. */
  #closeTest (result, test) {
    this.#closeUnfinished(test)
    if (isPutOff(result)) return this.#putOff(result, test, '')
    if (test.failedAsserts > 0) return test.count('failed')
    const ownFault = test.tally.failed === 0 || (result.diag?.signal && !test.timedOut)
    if (!result.ok && ownFault) {
      test.count('failed')
      return this.#fail(test.path, result)
    }
    if (test.asserts > 0 || test.children === 0) test.count('passed')
  }

  /** A test whose closing line never came: its process ended in the middle of it. */
  #closeUnfinished ({ open }) {
    if (!open) return
    open.parent.open = null
    this.#closeTest({ ok: false, skip: false, todo: false, diag: { message: 'the test never ended' } }, open)
  }

  /** Skipped or to do. Both count as skipped, and each is printed. */
  #putOff (result, scope, name) {
    const what = result.skip ? 'skipped' : 'to do'
    const reason = result.skip || result.todo
    scope.count('skipped')
    const title = [scope.path, name].filter(Boolean).join(' > ')
    this.#lines.push(`  ${what} - ${title}${typeof reason === 'string' ? `: ${reason}` : ''}`)
  }

  #fail (title, { diag, tapError }) {
    this.#failures.push(title)
    this.#lines.push(`  FAILED - ${title}`)
    if (tapError) this.#lines.push(`    ${tapError}`)
    if (diag) this.#lines.push(indent(describe(diag), 4))
  }

  #printFile (result, file) {
    const tally = file?.tally ?? { passed: 0, failed: 0, skipped: isPutOff(result) ? 1 : 0 }
    const took = result.time ? `, ${seconds(result.time)}` : ''
    this.push(`${result.ok ? 'ok    ' : 'not ok'} ${unescape(result.name)} (${summary(tally)}${took})\n`)
    this.#printLines()
  }

  #printLines () {
    if (this.#lines.length > 0) this.push(this.#lines.join('\n') + '\n')
    this.#lines = []
  }

  #finish (results) {
    this.#closeUnfinished(this.#run)
    this.#printLines()
    const { tally } = this.#run
    if (this.#bailout !== null) {
      this.#run.count('failed')
      this.#failures.push(`bailed out: ${this.#bailout}`)
    } else if (!results.ok && tally.failed === 0) {
      // No test failed, yet the run is not whole: show what tap has against it.
      this.#run.count('failed')
      this.#failures.push('the run is not complete')
      for (const failure of results.failures) this.push(indent(describe(failure), 2) + '\n')
    }
    if (this.#failures.length > 0) this.push(`\nFailures:\n${indent(this.#failures.join('\n'), 2)}\n`)
    this.push(`\n${this.#asserts} assertions in ${seconds(Date.now() - this.#started)}\n`)
    this.push(`${summary(tally)}\n`)
    if (tally.failed > 0) process.exitCode ||= 1
  }
}

function summary ({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`
}

function isPutOff ({ skip, todo }) {
  return skip !== false || todo !== false
}

function unescape (name) {
  return name.replace(/\\([#\\])/g, '$1')
}

function seconds (ms) {
  return `${(ms / 1000).toFixed(1)} s`
}

function indent (text, width) {
  return text.replace(/^(?=.)/gm, ' '.repeat(width))
}

// How tap started the file. The same for every file.
const noise = new Set(['stdio', 'cwd', 'externalID', 'command', 'args', 'jobId', 'buffered'])

/** The details of a failure: where, what differs, all the rest, the stack. */
function describe ({ at, source, diff, stack, ...rest }) {
  const lines = []
  if (at?.fileName) lines.push(`at ${at.fileName}:${at.lineNumber}:${at.columnNumber}`)
  if (source) lines.push(source.trimEnd())
  if (diff) lines.push(diff.trimEnd())
  for (const [key, value] of Object.entries(rest)) {
    if (noise.has(key) || value === null || value === undefined || value === '') continue
    const text = show(value)
    lines.push(text.includes('\n') ? `${key}:\n${indent(text, 2)}` : `${key}: ${text}`)
  }
  if (stack) lines.push(`stack:\n${indent(stack.trimEnd(), 2)}`)
  return lines.join('\n')
}

function show (value) {
  if (typeof value === 'string') return value.trimEnd()
  if (typeof value.stack === 'string') return describe(value) // a cause
  return inspect(value, { depth: 6, breakLength: 100 })
}
