/** Where pictures are kept: written by inventory, served by the edges, so a folder that all of them share. */
import * as path from "node:path"
import * as Config from "effect/Config"
import * as AppConfig from "./AppConfig.ts"

/** `MEDIA_DIR`, relative to the root. In dev, where it isn't given, `.floodgate/media`. */
export const mediaDir: Config.Config<string> = Config.map(
  Config.all([AppConfig.devDefault(Config.nonEmptyString("MEDIA_DIR"), ".floodgate/media"), AppConfig.root]),
  ([folder, root]) => path.resolve(root, folder),
)
