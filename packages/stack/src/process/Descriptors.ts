import * as fs from "node:fs"

/** O_CLOEXEC in the `flags` line of /proc/self/fdinfo/<n>, which is octal. */
const closeOnExec = 0o2000000

/**
 * Closes what this process inherited beside standard input, output and error: a daemon that keeps a pipe of its
 * caller open makes the caller wait for ever. Node marks its own descriptors close-on-exec, so those without the
 * mark are inherited. Elsewhere than on Linux libuv doesn't pass them on in the first place.
 */
export const closeInherited = (): void => {
  if (process.platform !== "linux") return
  for (const name of fs.readdirSync("/proc/self/fd")) {
    const descriptor = Number(name)
    if (descriptor <= 2) continue
    try {
      const flags = /^flags:\s*([0-7]+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0) fs.closeSync(descriptor)
    } catch {
      // The descriptor of the listing itself, closed by now.
    }
  }
}
