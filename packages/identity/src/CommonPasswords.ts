/** The passwords that many people have: zxcvbn's list of 49,000, in whatever letter case. */
import { dictionary } from "@zxcvbn-ts/language-common"
import { MIN_LENGTH } from "./domain/PasswordPolicy.ts"

/** Shorter ones are refused for their length. */
const common: ReadonlySet<string> = new Set(
  dictionary["passwords-common"].filter((password) => password.length >= MIN_LENGTH),
)

export const isCommon = (password: string): boolean => common.has(password.toLowerCase())
