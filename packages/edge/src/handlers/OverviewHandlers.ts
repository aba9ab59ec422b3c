/**
 * How the sale goes, gathered from those who know: the edges' own counts, the books of orders, and what waits in each
 * service. Who can't be asked in time leaves a gap and doesn't keep the rest from being shown: this is what one looks at
 * when something is away. However many look, it is gathered once a second.
 */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { RestApi } from "@floodgate/contracts/http/Api"
import { CurrentUser, type User } from "@floodgate/contracts/http/Auth"
import type { Overview, Window } from "@floodgate/contracts/http/Overview"
import { IdentityClient } from "@floodgate/contracts/rpc/IdentityClient"
import { InventoryClient } from "@floodgate/contracts/rpc/InventoryClient"
import { OrderingClient } from "@floodgate/contracts/rpc/OrderingClient"
import { PaymentClient } from "@floodgate/contracts/rpc/PaymentClient"
import * as Vitals from "@floodgate/runtime/metrics/Vitals"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Board from "../overview/Board.ts"
import { STEP_MS } from "../overview/FigureStore.ts"
import { Timeline } from "../overview/Timeline.ts"
import { ServerClock } from "../seckill/ServerClock.ts"
import { callerOf } from "./Peer.ts"

/** How long (ms) an overview is answered without gathering another. */
const LIFE_MS = 1_000

/** How long (ms) one waits for a service: less than the console waits between two looks. */
const PATIENCE_MS = 1_500

/** The answer, or nothing where there is none in time. */
const told = <A, E>(what: string, self: Effect.Effect<A, E>): Effect.Effect<A | undefined> =>
  self.pipe(
    Effect.tapError((error) => Effect.logDebug(`the overview goes without ${what}`, error)),
    Effect.option,
    Effect.map(Option.getOrUndefined),
  )

interface Held {
  readonly overview: Overview
  readonly gatheredMs: number
}

export const layer = HttpApiBuilder.group(RestApi, "overview", (handlers) =>
  Effect.gen(function* () {
    const identity = yield* IdentityClient
    const inventory = yield* InventoryClient
    const ordering = yield* OrderingClient
    const payment = yield* PaymentClient
    const timeline = yield* Timeline
    const serverClock = yield* ServerClock
    const one = yield* Effect.makeSemaphore(1)
    const held = new Map<Window, Held>()

    const gather = (window: Window, user: User) =>
      Effect.gen(function* () {
        const nowMs = serverClock.nowMs()
        const { from, to } = Board.span(window, nowMs)
        const options = { ...callerOf(user), deadlineMs: PATIENCE_MS }
        const gathered = yield* Effect.all(
          {
            timeline: timeline.read(from, to),
            booked: told("the books", ordering.getSaleFigures({ fromMs: BigInt(from * STEP_MS) }, options)),
            edge: Vitals.read,
            services: Effect.all(
              {
                identity: told("identity", identity.getVitals({}, options)),
                inventory: told("inventory", inventory.getVitals({}, options)),
                ordering: told("ordering", ordering.getVitals({}, options)),
                payment: told("payment", payment.getVitals({}, options)),
              },
              { concurrency: "unbounded" },
            ),
          },
          { concurrency: "unbounded" },
        )
        return Board.of({
          nowMs,
          window,
          ...gathered.timeline,
          booked: gathered.booked?.figures.map(({ atMs, ...figures }) => ({
            ...figures,
            atMs: Number(atMs),
          })),
          edge: gathered.edge,
          services: gathered.services,
        })
      })

    const overview = (window: Window, user: User) =>
      one.withPermits(1)(
        Effect.suspend(() => {
          const last = held.get(window)
          if (last !== undefined && performance.now() - last.gatheredMs < LIFE_MS) {
            return Effect.succeed(last.overview)
          }
          return Effect.tap(gather(window, user), (overview) =>
            Effect.sync(() => held.set(window, { overview, gatheredMs: performance.now() })),
          )
        }),
      )

    return handlers.handle(
      "get",
      Effect.fn("OverviewHandlers.get")(function* ({ urlParams }) {
        return yield* overview(urlParams.window, yield* CurrentUser)
      }),
    )
  }),
)
