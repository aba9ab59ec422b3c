/**
 * A time limit that holds whatever the work and the caller are doing. `Effect.timeoutFail` waits for work that can't be
 * interrupted, and inside an uninterruptible region it waits for all work; an engine that hangs would then hold its
 * callers without end.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * Runs an effect for at most `duration`, then fails with `onTimeout`.
 *
 * - At the limit, the work is interrupted and left behind; what it masks from interruption goes on in the background.
 * - An interrupted caller interrupts the work and leaves at once.
 * - In an uninterruptible region, the caller's interruption doesn't reach the work, and the limit still holds.
 */
export const failAfter =
  <E1>(duration: Duration.DurationInput, onTimeout: () => E1) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | E1, R> =>
    Effect.uninterruptibleMask((restore) =>
      // Daemons, because a fiber hands an interruption on to its children even while it is uninterruptible itself.
      Effect.flatMap(Effect.forkDaemon(Effect.interruptible(self)), (work) =>
        Effect.flatMap(Effect.forkDaemon(Effect.interruptible(Effect.sleep(duration))), (timer) =>
          restore(first(work, timer)).pipe(
            Effect.onInterrupt(() => Effect.zipRight(Fiber.interruptFork(timer), Fiber.interruptFork(work))),
            Effect.flatMap(
              (done): Effect.Effect<A, E | E1> =>
                done === "work"
                  ? Effect.zipRight(Fiber.interruptFork(timer), Fiber.join(work))
                  : Effect.zipRight(Fiber.interruptFork(work), Effect.failSync(onTimeout)),
            ),
          ),
        ),
      ),
    )

const first = <A, E>(
  work: Fiber.RuntimeFiber<A, E>,
  timer: Fiber.RuntimeFiber<void>,
): Effect.Effect<"work" | "timer"> =>
  Effect.async((resume) => {
    const onWork = () => resume(Exit.succeed("work"))
    const onTimer = () => resume(Exit.succeed("timer"))
    work.addObserver(onWork)
    timer.addObserver(onTimer)
    return Effect.sync(() => {
      work.removeObserver(onWork)
      timer.removeObserver(onTimer)
    })
  })
