/** What happens in a run: who goes on when, what buyers and the provider do, and what breaks. */
import * as fc from "effect/FastCheck"
import type { Topic } from "./engine/Broker.ts"
import type { Server } from "./engine/Task.ts"
import { programs } from "./Sale.ts"
import type { Doing } from "./services/Provider.ts"
import { type Channel, USERS } from "./World.ts"

export type Wish =
  | { readonly wants: "buy"; readonly product_id: number; readonly quantity: number; readonly key: string }
  /** The one-but-`nth` newest number of this buyer. */
  | { readonly wants: "look"; readonly nth: number }
  | { readonly wants: "pay"; readonly nth: number; readonly channel: Channel; readonly key: string }
  | { readonly wants: "cancel"; readonly nth: number }

export type Command =
  | { readonly does: "run"; readonly who: string; readonly steps: number }
  /** Everyone goes on, in turn, until nobody has anything to do at this moment. */
  | { readonly does: "calm" }
  | { readonly does: "wish"; readonly user: number; readonly wish: Wish }
  | { readonly does: "provider"; readonly nth: number; readonly doing: Doing }
  /** The newest number can't be taken by the order worker as it is, or all can again. */
  | { readonly does: "poison"; readonly bad: boolean }
  | { readonly does: "provider silent"; readonly silent: boolean }
  /** Handlers that nobody waits for any more go on. */
  | { readonly does: "late"; readonly steps: number }
  | { readonly does: "clock"; readonly ms: number }
  | { readonly does: "kill" | "stop" | "wake"; readonly who: string }
  | { readonly does: "cut"; readonly who: string; readonly how: "request lost" | "answer lost" | "deadline" }
  | { readonly does: "kill service"; readonly server: Server }
  | { readonly does: "Redis restarts"; readonly lost: number; readonly skew: number }
  | { readonly does: "Redis emptied"; readonly restarted: boolean }
  | { readonly does: "Redis freezes" | "Redis goes on" }
  | { readonly does: "MySQL killed" }
  | { readonly does: "bus emptied" }
  | { readonly does: "rebalance"; readonly group: string; readonly topic: Topic; readonly to: string }

/** More than any process has to do at once. */
export const AS_LONG_AS_IT_CAN = 60

const STEPS = fc.constantFrom(1, 2, 3, 4, 6, 8, 12, AS_LONG_AS_IT_CAN)

const users = fc.constantFrom(...USERS)

const buy = fc.record({
  does: fc.constant("wish" as const),
  user: users,
  wish: fc.record({
    wants: fc.constant("buy" as const),
    product_id: fc.constantFrom(1, 2),
    quantity: fc.constantFrom(1, 1, 2),
    key: fc.constantFrom("k1", "k1", "k2", "k3"),
  }),
})

const wishOf = (wish: fc.Arbitrary<Wish>): fc.Arbitrary<Command> =>
  fc.record({ does: fc.constant("wish" as const), user: users, wish })

const nth = fc.constantFrom(0, 0, 0, 1, 2)

const look = wishOf(fc.record({ wants: fc.constant("look" as const), nth }))
const pay = wishOf(
  fc.record({
    wants: fc.constant("pay" as const),
    nth,
    channel: fc.constantFrom("balance" as const, "sandbox" as const),
    key: fc.constantFrom("p1", "p2"),
  }),
)
const cancel = wishOf(fc.record({ wants: fc.constant("cancel" as const), nth }))

const provider: fc.Arbitrary<Command> = fc.record({
  does: fc.constant("provider" as const),
  nth: fc.constantFrom(0, 0, 1),
  doing: fc.constantFrom<Array<Doing>>(
    "pays",
    "pays late",
    "fails",
    "tells again",
    "tells under a new id",
    "tells a wrong amount",
  ),
})

const clock: fc.Arbitrary<Command> = fc.record({
  does: fc.constant("clock" as const),
  ms: fc.constantFrom(200, 1_000, 7_000, 11_000, 21_000, 65_000),
})

const run = (who: ReadonlyArray<string>): fc.Arbitrary<Command> =>
  fc.record({ does: fc.constant("run" as const), who: fc.constantFrom(...who), steps: STEPS })

const blow = (who: ReadonlyArray<string>): fc.Arbitrary<Command> =>
  fc.oneof(
    fc.record({
      does: fc.constantFrom("kill" as const, "stop" as const, "wake" as const),
      who: fc.constantFrom(...who),
    }),
    fc.record({
      does: fc.constant("cut" as const),
      who: fc.constantFrom(...who),
      how: fc.constantFrom("request lost" as const, "answer lost" as const, "deadline" as const),
    }),
  )

const redis: fc.Arbitrary<Command> = fc.oneof(
  fc.record({
    does: fc.constant("Redis restarts" as const),
    lost: fc.constantFrom(0, 1, 1, 2, 3, 5),
    skew: fc.constantFrom(0, 0, -2_000, 2_000),
  }),
  fc.record({ does: fc.constant("Redis emptied" as const), restarted: fc.boolean() }),
  fc.record({ does: fc.constantFrom("Redis freezes" as const, "Redis goes on" as const) }),
)

const rebalance: fc.Arbitrary<Command> = fc.constantFrom<Array<Command>>(
  { does: "rebalance", group: "orders", topic: "reservations", to: "worker-a" },
  { does: "rebalance", group: "orders", topic: "reservations", to: "worker-b" },
  { does: "rebalance", group: "releases", topic: "order.events", to: "releases-a" },
  { does: "rebalance", group: "releases", topic: "order.events", to: "releases-b" },
)

const service: fc.Arbitrary<Command> = fc.record({
  does: fc.constant("kill service" as const),
  server: fc.constantFrom<Array<Server>>("inventory", "ordering", "payment", "identity"),
})

const calm = fc.constant<Command>({ does: "calm" })
const late: fc.Arbitrary<Command> = fc.record({ does: fc.constant("late" as const), steps: STEPS })
const mysql = fc.constant<Command>({ does: "MySQL killed" })
const bus = fc.constant<Command>({ does: "bus emptied" })
const silent: fc.Arbitrary<Command> = fc.record({
  does: fc.constant("provider silent" as const),
  silent: fc.boolean(),
})

const buyers = USERS.map((user) => `buyer-${user}`)
const everyone = [...Object.keys(programs), ...buyers]
const named = (...parts: ReadonlyArray<string>) =>
  everyone.filter((name) => parts.some((part) => name.includes(part)))

/** Some commands that make a situation; a counterexample is made smaller command by command. */
type Scene = ReadonlyArray<Command>

const one = (command: fc.Arbitrary<Command>): fc.Arbitrary<Scene> => command.map((only) => [only])

const go = (who: string, steps: number): Command => ({ does: "run", who, steps })

const FEW = fc.integer({ min: 1, max: 14 })

/** A process goes some way and is stopped there; what it meant to do comes when it wakes. */
const halfway = (who: ReadonlyArray<string>): fc.Arbitrary<Scene> =>
  fc
    .tuple(fc.constantFrom(...who), FEW, fc.constantFrom<Array<"stop" | "kill">>("stop", "stop", "kill"))
    .map(([name, steps, does]) => [go(name, steps), { does, who: name }])

/** A wish that is granted before anybody else does anything. */
const wished = (wish: fc.Arbitrary<Command>): fc.Arbitrary<Scene> =>
  wish.map((command) =>
    command.does === "wish" ? [command, go(`buyer-${command.user}`, AS_LONG_AS_IT_CAN)] : [command],
  )

/** A wish that is interrupted on its way, by whatever may interrupt it. */
const interrupted = (wish: fc.Arbitrary<Command>): fc.Arbitrary<Scene> =>
  fc
    .tuple(
      wish,
      FEW,
      fc.constantFrom<Array<"stop" | "deadline" | Server>>("stop", "deadline", "payment", "inventory"),
    )
    .map(([command, steps, how]): Scene => {
      if (command.does !== "wish") return [command]
      const who = `buyer-${command.user}`
      const blow: Command =
        how === "stop"
          ? { does: "stop", who }
          : how === "deadline"
            ? { does: "cut", who, how }
            : { does: "kill service", server: how as Server }
      return [command, go(who, steps), blow]
    })

const bought: Scene = [
  { does: "wish", user: 1, wish: { wants: "buy", product_id: 1, quantity: 1, key: "k1" } },
  { does: "calm" },
]

const toPay: Scene = [
  ...bought,
  { does: "wish", user: 1, wish: { wants: "pay", nth: 0, channel: "sandbox", key: "p1" } },
  { does: "calm" },
]

/** Most of what happens around one order happens to the first buyer's. */
const first = (wish: fc.Arbitrary<Command>): fc.Arbitrary<Command> =>
  fc
    .tuple(wish, fc.boolean())
    .map(([command, yes]) => (yes && command.does === "wish" ? { ...command, user: 1 } : command))

interface Theme {
  /** What every run of the theme starts with. */
  readonly prologue: Scene
  readonly scenes: fc.Arbitrary<Scene>
}

const weighted = (parts: ReadonlyArray<readonly [weight: number, arbitrary: fc.Arbitrary<Scene>]>) =>
  fc.oneof(...parts.map(([weight, arbitrary]) => ({ weight, arbitrary })))

const selling = named("buyer", "relay", "worker", "releases", "ordering outbox")
const paying = named("buyer-1", "provider", "payment", "callback", "answers", "refunds", "captures", "sweep")
const recovering = named("recovery", "worker", "relay", "releases", "buyer")
const sending = named("ordering outbox")

const poison: fc.Arbitrary<Command> = fc.record({
  does: fc.constant("poison" as const),
  bad: fc.boolean(),
})

/** What buyers and the provider do to one order's money. */
const moneyScenes: ReadonlyArray<readonly [number, fc.Arbitrary<Scene>]> = [
  [3, one(first(pay))],
  [3, interrupted(first(pay))],
  [2, one(first(cancel))],
  [3, interrupted(first(cancel))],
  [5, one(provider)],
  [8, one(run(paying))],
  [3, halfway(paying)],
  [4, one(blow(paying))],
  [3, one(late)],
  [3, one(clock)],
  [6, one(calm)],
  [1, one(silent)],
  [1, one(mysql)],
  [1, one(service)],
]

/**
 * A run plays in one corner of the system, where faults and interleavings are dense; everything else goes on in the
 * calm between. `everything` is the rest.
 */
export const themes: Readonly<Record<string, Theme>> = {
  selling: {
    prologue: [],
    scenes: weighted([
      [4, one(buy)],
      [3, wished(buy)],
      [3, interrupted(buy)],
      [3, one(look)],
      [3, one(cancel)],
      [10, one(run(selling))],
      [3, halfway(selling)],
      [4, one(blow(selling))],
      [4, one(clock)],
      [3, one(late)],
      [4, one(calm)],
      [3, one(poison)],
      [2, one(redis)],
      [1, one(rebalance)],
      [1, one(mysql)],
      [1, one(service)],
    ]),
  },
  paying: { prologue: bought, scenes: weighted(moneyScenes) },
  "paying by card": { prologue: toPay, scenes: weighted(moneyScenes) },
  recovering: {
    prologue: [],
    scenes: weighted([
      [3, one(buy)],
      [5, wished(buy)],
      [1, one(look)],
      [2, one(cancel)],
      [5, one(redis)],
      [8, one(run(recovering))],
      [6, halfway(recovering)],
      [3, one(blow(recovering))],
      [3, one(clock)],
      [5, one(calm)],
      [1, one(late)],
      [1, one(rebalance)],
      [1, one(mysql)],
    ]),
  },
  sending: {
    prologue: bought,
    scenes: weighted([
      [2, wished(buy)],
      [3, interrupted(first(cancel))],
      [3, one(first(cancel))],
      [8, one(run(sending))],
      [6, halfway(sending)],
      [4, one(blow(sending))],
      [3, one(clock)],
      [4, one(bus)],
      [3, one(calm)],
      [1, one(rebalance)],
      [1, one(mysql)],
    ]),
  },
  everything: {
    prologue: [],
    scenes: weighted([
      [6, one(buy)],
      [2, one(look)],
      [4, one(pay)],
      [3, one(cancel)],
      [3, one(provider)],
      [12, one(run(everyone))],
      [3, halfway(everyone)],
      [4, one(blow(everyone))],
      [3, one(clock)],
      [5, one(calm)],
      [2, one(late)],
      [1, one(redis)],
      [1, one(bus)],
      [1, one(mysql)],
      [1, one(service)],
      [1, one(silent)],
      [1, one(poison)],
      [1, one(rebalance)],
    ]),
  },
}

/** Scenes of one run at most. */
const MAX_SCENES = 24

/** Scripts of one theme. */
export const scripts = (theme: string): fc.Arbitrary<ReadonlyArray<Command>> => {
  const { prologue, scenes } = themes[theme]!
  return fc
    .array(scenes, { minLength: 1, maxLength: MAX_SCENES, size: "max" })
    .map((rest) => [...prologue, ...rest.flat()])
}

/** Scripts of all themes. */
export const anyScript: fc.Arbitrary<ReadonlyArray<Command>> = fc.oneof(...Object.keys(themes).map(scripts))
