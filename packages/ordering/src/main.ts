import * as AppConfig from "@floodgate/runtime/config/AppConfig"
import * as Main from "@floodgate/runtime/lifecycle/Main"
import { layer } from "./layer.ts"

Main.run({ service: "ordering", layer, opsPort: AppConfig.port("orderingOps") })
