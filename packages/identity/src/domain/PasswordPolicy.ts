/** What passwords are accepted: length, and none that guessers try first (NIST SP 800-63B, §3.1.1.2). */

export const MIN_LENGTH = 8
export const MAX_LENGTH = 128

/**
 * What is wrong with a password that somebody wants; undefined where nothing is. Counts characters, not bytes.
 * `isCommon` knows the passwords that many people have.
 */
export const passwordIssue = (
  password: string,
  username: string,
  isCommon: (password: string) => boolean,
): string | undefined => {
  const length = [...password].length
  if (length < MIN_LENGTH || length > MAX_LENGTH) {
    return `must have ${MIN_LENGTH} to ${MAX_LENGTH} characters`
  }
  if (isCommon(password)) return "is one of the most common passwords"
  return password.toLowerCase() === username.toLowerCase() ? "must differ from the username" : undefined
}
