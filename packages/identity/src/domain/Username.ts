/** Names of accounts. */

const PATTERN = /^[A-Za-z0-9_]{3,32}$/

/** What is wrong with a name that somebody wants to register; undefined where nothing is. */
export const usernameIssue = (username: string): string | undefined =>
  PATTERN.test(username) ? undefined : "must be 3 to 32 letters, digits or _"

/** Whether any account can have this name. */
export const isUsername = (username: string): boolean => PATTERN.test(username)
