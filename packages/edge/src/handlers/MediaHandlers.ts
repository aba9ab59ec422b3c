/** Pictures for products: looked at by their first bytes here, by a decoder in inventory, which keeps them. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { UnsupportedMediaType } from "@floodgate/contracts/errors/Errors"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import * as Media from "@floodgate/contracts/http/Media"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import * as Effect from "effect/Effect"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

/** A picture may wait for others to be encoded, within the 5 s that a handler has. */
const DEADLINE_MS = 4_500

const TYPE = /^image\/(png|jpeg|webp)$/i

export const layer = HttpApiBuilder.group(RestApi, "media", (handlers) =>
  Effect.gen(function* () {
    const inventory = yield* InventoryClient
    return handlers.handleRaw(
      "upload",
      Effect.fn("MediaHandlers.upload")(function* ({ request, urlParams }) {
        const user = yield* CurrentUser
        const file = new Uint8Array(yield* Effect.orDie(request.arrayBuffer))
        // What it says it is must be something that is taken; what it is, its bytes say.
        if (!TYPE.test(request.headers["content-type"] ?? "") || Media.typeOf(file) === undefined) {
          return yield* new UnsupportedMediaType({})
        }
        const stored = yield* fromPeer(
          inventory.uploadMedia(
            { file, reason: urlParams.reason ?? "", requestId: RequestId.of(request, user) },
            { ...callerOf(user), deadlineMs: DEADLINE_MS },
          ),
        )
        return {
          url: `/media/${stored.sha256}.webp`,
          width: stored.width,
          height: stored.height,
          bytes: Number(stored.bytes),
        }
      }),
      { uninterruptible: true },
    )
  }),
)
