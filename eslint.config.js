import neostandard, { resolveIgnoresFromGitignore } from 'neostandard'
import tseslint from 'typescript-eslint'

export default [
  // Unchanged copies of what others wrote.
  { ignores: ['test/vendor/*/test/**'] },
  ...neostandard({ ts: true, ignores: resolveIgnoresFromGitignore() }),
  {
    name: 'types-by-import-type',
    files: ['lib/**/*.ts', 'types/**/*.ts'],
    ignores: ['**/*.tst.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error'
    }
  },
  {
    // These rules need the type checker. A promise that nobody awaits is how a save gets lost.
    name: 'typed-rules-for-lib',
    files: ['lib/**/*.ts'],
    plugins: { '@typescript-eslint': tseslint.plugin },
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        project: './tsconfig.json',
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error'
    }
  }
]
