// Compiles the project once, so that forked servers start in a third of a second. Under the loader of the test
// runner each of them needs seconds, and the tests of crashes fork a hundred.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'

const PROJECT = join(import.meta.dirname, '../..')
const SOURCES = ['lib', 'types', 'test/helpers', 'test/fixtures']

/** Writes JavaScript to the folder, laid out as the sources are. The folder must lie inside the project, so that packages are found. */
export function compileTo (folder: string): void {
  for (const source of SOURCES) {
    for (const name of readdirSync(join(PROJECT, source), { recursive: true, encoding: 'utf8' })) {
      if (!name.endsWith('.ts') || name.endsWith('.d.ts')) continue
      const fileName = join(PROJECT, source, name)
      const { outputText } = ts.transpileModule(readFileSync(fileName, 'utf8'), {
        fileName,
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ES2022, verbatimModuleSyntax: true, inlineSourceMap: true }
      })
      const target = join(folder, source, name.replace(/\.ts$/, '.js'))
      mkdirSync(dirname(target), { recursive: true })
      writeFileSync(target, outputText)
    }
  }
}
