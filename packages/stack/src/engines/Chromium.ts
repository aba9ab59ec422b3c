/** The browser of the browser tests: one that is here, or Debian's package. */
import { StackError } from "../StackError.ts"
import * as Install from "./Install.ts"

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"] as const
/** The font is for the pictures that tests take of Chinese pages. */
const aptPackages = ["chromium", "fonts-wqy-zenhei"] as const

/** The program. `FLOODGATE_BROWSER` names another one. Fails with a StackError where there is none and none can be had. */
export const program = async (
  env: Readonly<Record<string, string | undefined>>,
  say: Install.Say,
): Promise<string> => {
  const said = env["FLOODGATE_BROWSER"] ?? Install.findProgram(...names)
  if (said !== undefined && said !== "") return said
  if (!Install.canApt())
    throw new StackError("The browser tests need Chromium: install it, or name it in FLOODGATE_BROWSER.")
  await Install.aptInstall(aptPackages, say)
  const installed = Install.findProgram(...names)
  if (installed === undefined)
    throw new StackError("chromium is installed, but there is no program of that name.")
  return installed
}
