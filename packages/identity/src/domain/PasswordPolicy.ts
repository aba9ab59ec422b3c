/** What passwords are accepted. */

export const MIN_LENGTH = 8
export const MAX_LENGTH = 128

/** What is wrong with a password that somebody wants; undefined where nothing is. Counts characters, not bytes. */
export const passwordIssue = (password: string): string | undefined => {
  const length = [...password].length
  return length >= MIN_LENGTH && length <= MAX_LENGTH
    ? undefined
    : `must have ${MIN_LENGTH} to ${MAX_LENGTH} characters`
}
