import { type ChildProcess, spawn } from "node:child_process"

/**
 * Reads "add <group>", "drop <group>" and "dir <folder>" lines. The end of its input means that the process that
 * wrote them is gone, however it went: then every group still listed is ended, first politely, and the folders
 * are removed. A shell, because it must outlive a SIGKILL of its owner and costs next to nothing.
 */
const script = `
trap '' HUP INT TERM
groups=; dirs=
nl='
'
while read -r op arg; do
  case $op in
    add) groups="$groups $arg" ;;
    drop) kept=; for g in $groups; do [ "$g" = "$arg" ] || kept="$kept $g"; done; groups=$kept ;;
    dir) dirs="$dirs$arg$nl" ;;
    keep) dirs= ;;
  esac
done
for g in $groups; do kill -TERM -$g 2>/dev/null; done
n=0
while [ $n -lt 60 ]; do
  alive=
  for g in $groups; do if kill -0 -$g 2>/dev/null; then alive=1; fi; done
  [ -z "$alive" ] && break
  sleep 0.2
  n=$((n + 1))
done
for g in $groups; do kill -KILL -$g 2>/dev/null; done
printf %s "$dirs" | while read -r d; do rm -rf "$d"; done
`

let dog: ChildProcess | undefined

const tell = (line: string): void => {
  if (dog === undefined) {
    dog = spawn("/bin/sh", ["-c", script], { detached: true, stdio: ["pipe", "ignore", "ignore"] })
    dog.unref()
    dog.stdin?.on("error", () => {})
    ;(dog.stdin as unknown as { unref?: () => void }).unref?.()
  }
  dog.stdin?.write(`${line}\n`)
}

/** From now on this process group dies with this process, even when this process is killed with SIGKILL. */
export const guard = (group: number): void => tell(`add ${group}`)

/** The group has ended by itself; its number may be given to others. */
export const release = (group: number): void => {
  if (dog !== undefined) tell(`drop ${group}`)
}

/** Removes this folder once this process is gone. Only for folders that this process made for itself. */
export const removeAtDeath = (folder: string): void => tell(`dir ${folder}`)
