/** The rules and lists in force: see `Watched`. While the database can't be read, the last known ones hold, at first none. */
import type { Busy, InvalidInput, NotFound, StaleVersion } from "@floodgate/contracts/errors/Errors"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Watched from "../settings/Watched.ts"
import * as AddressList from "./AddressList.ts"
import {
  type Block,
  type BlockChange,
  type NewRule,
  RiskStore,
  type Rule,
  type RuleChange,
} from "./RiskStore.ts"

export class RiskSettings extends Context.Tag("@floodgate/edge/risk/RiskSettings")<
  RiskSettings,
  {
    /** The rules, newest first, the switched-off ones among them; another array whenever they have changed. */
    readonly rules: () => ReadonlyArray<Rule>
    /** The entry that decides about an address, as of now. */
    readonly listed: (address: string) => AddressList.Entry | undefined
    /** The changes below are in force here with the answer, and on every other edge within a second. */
    readonly createRule: (rule: NewRule) => Effect.Effect<Rule, InvalidInput | Busy>
    readonly changeRule: (
      change: RuleChange,
    ) => Effect.Effect<Rule, NotFound | StaleVersion | InvalidInput | Busy>
    readonly deleteRule: (
      change: Omit<RuleChange, "change">,
    ) => Effect.Effect<void, NotFound | StaleVersion | Busy>
    readonly putBlock: (change: BlockChange) => Effect.Effect<Block, StaleVersion | InvalidInput | Busy>
    readonly deleteBlock: (
      change: Omit<BlockChange, "list" | "expiresMs">,
    ) => Effect.Effect<void, NotFound | StaleVersion | Busy>
  }
>() {}

export const make = Effect.gen(function* () {
  const store = yield* RiskStore
  let rules: ReadonlyArray<Rule> = []
  let addresses = AddressList.compile([])

  const look = yield* Watched.make({
    what: "risk rules and lists",
    revision: store.revision,
    load: Effect.map(Effect.all([store.rules, store.blocks]), ([found, blocks]) => {
      const now = performance.now()
      rules = found
      addresses = AddressList.compile(
        blocks.map(({ cidr, leftMs, list }) => ({
          cidr,
          list,
          expiresMs: leftMs === undefined ? undefined : now + leftMs,
        })),
      )
    }),
  })
  const inForce = <A, E>(change: Effect.Effect<A, E>): Effect.Effect<A, E> => Effect.tap(change, () => look)

  return RiskSettings.of({
    rules: () => rules,
    listed: (address) => addresses.find(address, performance.now()),
    createRule: (rule) => inForce(store.createRule(rule)),
    changeRule: (change) => inForce(store.changeRule(change)),
    deleteRule: (change) => inForce(store.deleteRule(change)),
    putBlock: (change) => inForce(store.putBlock(change)),
    deleteBlock: (change) => inForce(store.deleteBlock(change)),
  })
})

export const layer = Layer.scoped(RiskSettings, make)
