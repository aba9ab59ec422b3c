/** The console's dead letters: ordering settles them and keeps the audit. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { DeadLetterState } from "@floodgate/contracts/gen/floodgate/ordering/v1/ordering_pb"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser } from "@floodgate/contracts/http/Auth"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import * as Effect from "effect/Effect"
import * as AdminLists from "./AdminLists.ts"
import * as DeadLetterView from "./DeadLetterView.ts"
import { nextCursor, pageOf, withQueryNames } from "./Lists.ts"
import { callerOf, fromPeer } from "./Peer.ts"
import * as RequestId from "./RequestId.ts"

export const layer = HttpApiBuilder.group(RestApi, "deadLetters", (handlers) =>
  Effect.gen(function* () {
    const ordering = yield* OrderingClient
    return handlers
      .handle(
        "list",
        Effect.fn("DeadLetterHandlers.list")(function* ({ request, urlParams }) {
          const user = yield* CurrentUser
          const { order_num, state, topic } = urlParams
          return yield* AdminLists.answer({
            request,
            query: urlParams,
            name: "dead-letters",
            columns: DeadLetterView.columns,
            page: (at) =>
              withQueryNames(
                fromPeer(
                  ordering.listDeadLetters(
                    {
                      state:
                        state === undefined ? DeadLetterState.UNSPECIFIED : DeadLetterView.wireStateOf[state],
                      topic: topic ?? "",
                      orderNum: order_num ?? "",
                      ...AdminLists.spanOf(urlParams),
                      ...pageOf(at),
                    },
                    callerOf(user),
                  ),
                ),
              ).pipe(
                Effect.map(({ deadLetters, nextPageToken }) => ({
                  items: deadLetters.map(DeadLetterView.of),
                  next_cursor: nextCursor(nextPageToken),
                })),
              ),
          })
        }),
      )
      .handle(
        "get",
        Effect.fn("DeadLetterHandlers.get")(function* ({ path }) {
          const user = yield* CurrentUser
          const letter = yield* fromPeer(ordering.getDeadLetter({ id: BigInt(path.id) }, callerOf(user)))
          return DeadLetterView.of(letter)
        }),
      )
      .handle(
        "replay",
        Effect.fn("DeadLetterHandlers.replay")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const letter = yield* fromPeer(
            ordering.replayDeadLetter(
              { id: BigInt(path.id), reason: payload.reason, requestId: RequestId.of(request, user) },
              callerOf(user),
            ),
          )
          return DeadLetterView.of(letter)
        }),
        { uninterruptible: true },
      )
      .handle(
        "discard",
        Effect.fn("DeadLetterHandlers.discard")(function* ({ path, payload, request }) {
          const user = yield* CurrentUser
          const letter = yield* fromPeer(
            ordering.discardDeadLetter(
              { id: BigInt(path.id), reason: payload.reason, requestId: RequestId.of(request, user) },
              callerOf(user),
            ),
          )
          return DeadLetterView.of(letter)
        }),
        { uninterruptible: true },
      )
  }),
)
