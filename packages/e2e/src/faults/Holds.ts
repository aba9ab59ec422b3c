/** What a row itself promises, beyond what the checker looks at. */
export function holds(condition: boolean, sentence: string): asserts condition {
  if (!condition) throw new Error(sentence)
}
