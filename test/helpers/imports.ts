// Reads which file imports what.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import ts from 'typescript'

const PROJECT = join(import.meta.dirname, '../..')

export interface Import {
  /** Both relative to the project; `to` is a source file, or the name of a package or of a module of Node.js. */
  from: string
  to: string
  /** false: only types, nothing of it is left when the code runs. */
  runs: boolean
}

/** All imports of the TypeScript files in a folder, also those that are made later by `import()`. */
export function importsIn (folder: string): Import[] {
  return readdirSync(join(PROJECT, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .flatMap(name => importsOf(normalize(join(folder, name))))
}

function importsOf (from: string): Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, runs: boolean) => {
    if (specifier !== undefined && ts.isStringLiteral(specifier)) found.push({ from, to: resolve(from, specifier.text), runs })
  }
  const visit = (node: ts.Node): void => {
    // With verbatimModuleSyntax only `import type` disappears; `import { type A }` leaves an import that runs.
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly !== true)
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, !node.isTypeOnly)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) add(node.arguments[0], true)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(from, readFileSync(join(PROJECT, from), 'utf8'), ts.ScriptTarget.ES2022))
  return found
}

function resolve (from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier
  const path = normalize(join(from, '..', specifier)).replace(/\.js$/, '.ts')
  if (!existsSync(join(PROJECT, path))) throw new Error(`${from} imports ${specifier}, which does not exist`)
  return path
}

/** Files that import each other in a circle, one circle as a list; none: null. */
export function findCycle (imports: Import[]): string[] | null {
  const next = new Map<string, string[]>()
  for (const { from, to, runs } of imports) if (runs) next.set(from, [...next.get(from) ?? [], to])
  const done = new Set<string>()
  const search = (file: string, path: string[]): string[] | null => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return null
    for (const other of next.get(file) ?? []) {
      const cycle = search(other, [...path, file])
      if (cycle !== null) return cycle
    }
    done.add(file)
    return null
  }
  for (const file of next.keys()) {
    const cycle = search(file, [])
    if (cycle !== null) return cycle
  }
  return null
}
