/** What the console says: the words that it shares with the storefront, and its own. */
import { en as shopEn } from "../../texts/en.ts"
import type { Dictionaries } from "../../texts/Words.ts"
import { zh as shopZh } from "../../texts/zh.ts"
import { en } from "./en.ts"
import { zh } from "./zh.ts"

export const words: Dictionaries = { en: { ...shopEn, console: en }, zh: { ...shopZh, console: zh } }
