/** The child's side of fork.js: one function per question. Ends with the parent. */
export function answer (questions) {
  process.on('message', async ({ id, question, argument }) => {
    try {
      process.send({ id, answer: await questions[question](argument) })
    } catch (error) {
      process.send({ id, error: error.stack })
    }
  })
  process.on('disconnect', () => process.exit())
}
