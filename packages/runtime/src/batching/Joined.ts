/**
 * Many small calls as few large ones: what fibers ask within one turn of the event loop, or while too many calls are
 * under way, leaves as one call, and each asker gets its result. As in a database's group commit, the busier it is the
 * larger the groups, and whoever comes alone waits for nobody.
 *
 * Nobody pays for a neighbour's trouble for long: where a shared call fails each ask is made again by itself, and whose
 * fails then goes by itself, beside the shared calls, until one succeeds.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import { endOfTurn } from "./EndOfTurn.ts"

export interface Options<A, B, E, R> {
  /** Calls under way at once. */
  readonly atOnce: number
  /** What one call may carry, by `sizeOf`. An ask that is larger by itself goes alone. */
  readonly most: number
  readonly sizeOf: (ask: A) => number
  /** What an ask is about: asks of one key fail together. Keys are few. */
  readonly keyOf: (ask: A) => number
  /**
   * Does what was asked, oldest first; more than once where it fails. Its result is everybody's whose ask is among them;
   * it is not interrupted when they leave.
   */
  readonly call: (asks: ReadonlyArray<A>) => Effect.Effect<B, E, R>
}

interface Asker<A, B, E> {
  readonly ask: A
  readonly answer: Deferred.Deferred<B, E>
}

/**
 * The joined form of `options.call`, for as long as the scope is open. Holds no more asks than it has askers: their
 * number is the bound. An asker that is interrupted before its ask left takes it back.
 */
export const make = <A, B, E, R>(
  options: Options<A, B, E, R>,
): Effect.Effect<(ask: A) => Effect.Effect<B, E>, never, R | Scope.Scope> =>
  Effect.gen(function* () {
    const fork = yield* FiberSet.makeRuntime<R>()
    let waiting: Array<Asker<A, B, E>> = []
    let underWay = 0
    let leaving = false

    /** Keys whose last ask failed by itself. */
    const apart = new Set<number>()

    /** The oldest that fit into one call. */
    const takeGroup = (): ReadonlyArray<Asker<A, B, E>> => {
      let size = 0
      let count = 0
      for (const { ask } of waiting) {
        size += options.sizeOf(ask)
        if (count > 0 && size > options.most) break
        count++
      }
      const group = waiting.slice(0, count)
      waiting = waiting.slice(count)
      return group
    }

    const call = (group: ReadonlyArray<Asker<A, B, E>>): Effect.Effect<Exit.Exit<B, E>, never, R> =>
      Effect.exit(Effect.suspend(() => options.call(group.map(({ ask }) => ask))))

    const goApart = (asker: Asker<A, B, E>): void => {
      fork(
        Effect.map(call([asker]), (exit) => {
          if (Exit.isSuccess(exit)) apart.delete(options.keyOf(asker.ask))
          else apart.add(options.keyOf(asker.ask))
          Deferred.unsafeDone(asker.answer, exit)
        }),
      )
    }

    const settle = (group: ReadonlyArray<Asker<A, B, E>>, exit: Exit.Exit<B, E>): void => {
      underWay--
      if (Exit.isSuccess(exit)) for (const { answer } of group) Deferred.unsafeDone(answer, exit)
      else if (group.length > 1) group.forEach(goApart)
      else {
        apart.add(options.keyOf(group[0]!.ask))
        Deferred.unsafeDone(group[0]!.answer, exit)
      }
      leave()
    }

    const launch = (): void => {
      while (waiting.length > 0 && underWay < options.atOnce) {
        const group = takeGroup()
        underWay++
        fork(Effect.map(call(group), (exit) => settle(group, exit)))
      }
    }

    const leave = (): void => {
      if (leaving || waiting.length === 0 || underWay >= options.atOnce) return
      leaving = true
      fork(
        Effect.zipRight(
          endOfTurn,
          Effect.sync(() => {
            leaving = false
            launch()
          }),
        ),
      )
    }

    return (ask) =>
      Effect.suspend(() => {
        const asker: Asker<A, B, E> = { ask, answer: Deferred.unsafeMake<B, E>(FiberId.none) }
        if (apart.has(options.keyOf(ask))) goApart(asker)
        else {
          waiting.push(asker)
          leave()
        }
        return Effect.onInterrupt(Deferred.await(asker.answer), () =>
          Effect.sync(() => {
            waiting = waiting.filter((other) => other !== asker)
          }),
        )
      })
  })
