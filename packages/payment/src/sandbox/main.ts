import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import { config, layer } from "./layer.ts"

Main.run({ service: "sandbox", layer, opsPort: AppConfig.port("sandboxOps"), requires: [config] })
