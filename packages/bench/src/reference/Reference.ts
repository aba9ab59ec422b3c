/** A reference server for the length of one piece of work. */
import { fork } from "node:child_process"
import { Redis } from "ioredis"
import { heard } from "../load/Load.ts"
import type { Settings } from "./server.ts"

/** Runs the server, hands its port and pid to `work`, and removes what it left in Redis. */
export const withReference = async <A>(
  entry: string,
  settings: Settings,
  work: (server: { readonly port: number; readonly pid: number }) => Promise<A>,
): Promise<A> => {
  const child = fork(entry, [JSON.stringify(settings)], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  try {
    const port = await heard<number>(child)
    return await work({ port, pid: child.pid! })
  } finally {
    child.kill()
    if (settings.mode !== "constant") {
      const redis = new Redis(settings.redisUrl)
      await redis.unlink(...["fence", "stream", "p", "b"].map((name) => `{bench-${settings.tag}}:${name}`))
      redis.disconnect()
    }
  }
}
