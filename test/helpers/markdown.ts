// Reads what the documentation promises: its code blocks, its tables and its links.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const PROJECT = join(import.meta.dirname, '../..')

export interface CodeBlock {
  file: string
  /** Of the first line of code. */
  line: number
  /** What stands behind the opening fence: js, ts, sh, json … */
  language: string
  code: string
  /** From a comment before the block that readers do not see: `<!-- example: name -->`. */
  example: string | null
}

export interface Table {
  /** The last heading before it. */
  heading: string
  columns: string[]
  rows: string[][]
}

export function readDocument (file: string): string {
  return readFileSync(join(PROJECT, file), 'utf8')
}

export function codeBlocks (file: string): CodeBlock[] {
  const blocks: CodeBlock[] = []
  let example: string | null = null
  let open: { indent: number, language: string, line: number, lines: string[] } | null = null
  for (const [index, text] of readDocument(file).split('\n').entries()) {
    const fence = /^( *)```(\w*)\s*$/.exec(text)
    if (fence === null) {
      if (open !== null) open.lines.push(text.slice(open.indent))
      else if (text.trim() !== '') example = /^\s*<!-- example: ([\w-]+) -->$/.exec(text)?.[1] ?? null
    } else if (open === null) {
      open = { indent: fence[1]!.length, language: fence[2]!, line: index + 2, lines: [] }
    } else {
      const { language, line, lines } = open
      blocks.push({ file, line, language, code: `${lines.join('\n')}\n`, example })
      open = example = null
    }
  }
  return blocks
}

export function tables (file: string): Table[] {
  const found: Table[] = []
  let heading = ''
  let current: Table | null = null
  let inCode = false
  for (const text of readDocument(file).split('\n')) {
    if (/^ *```/.test(text)) inCode = !inCode
    if (inCode || !text.startsWith('|')) {
      current = null
      if (!inCode && /^#+ /.test(text)) heading = text.replace(/^#+ /, '')
      continue
    }
    const cells = text.split('|').slice(1, -1).map(cell => cell.trim())
    if (current === null) {
      current = { heading, columns: cells, rows: [] }
      found.push(current)
    } else if (!/^-+$/.test(cells[0]!)) {
      current.rows.push(cells)
    }
  }
  return found
}

/** The table under a heading. */
export function tableUnder (file: string, heading: string): Table {
  const table = tables(file).find(candidate => candidate.heading === heading)
  if (table === undefined) throw new Error(`${file} has no table under "${heading}"`)
  return table
}

/** The names in the first column: `get(key, default?)` is get. */
export function namesIn (table: Table): string[] {
  return table.rows.flatMap(([first]) => [...first!.matchAll(/`(\w+)[^`]*`/g)].map(match => match[1]!))
}

/** Where the links of a document point: files and headings. Addresses on the web are left out. */
export function localLinks (file: string): string[] {
  return [...readDocument(file).matchAll(/\]\(([^)\s]+)\)/g)].map(match => match[1]!).filter(target => !/^[a-z]+:/.test(target))
}

/** The names under which the headings of a document can be linked to. */
export function anchors (file: string): string[] {
  return [...readDocument(file).matchAll(/^#+ (.+)$/gm)]
    .map(match => match[1]!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}
