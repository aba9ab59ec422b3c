/** Splits a migration's text into statements. The server would take them at once, but then can't say which failed. */

/**
 * The statements of a script, without comments around them. Knows quotes, backticks and the three kinds of comments;
 * `DELIMITER` isn't SQL and isn't known.
 */
export const statementsOf = (script: string): ReadonlyArray<string> => {
  const statements: Array<string> = []
  let current = ""
  let index = 0
  const flush = () => {
    const statement = current.trim()
    if (statement !== "") statements.push(statement)
    current = ""
  }
  while (index < script.length) {
    const char = script[index]!
    if (char === "'" || char === '"' || char === "`") {
      const end = endOfQuoted(script, index)
      current += script.slice(index, end)
      index = end
    } else if (
      char === "#" ||
      (script.startsWith("--", index) && /^(\s|$)/.test(script.slice(index + 2, index + 3)))
    ) {
      const end = script.indexOf("\n", index)
      index = end === -1 ? script.length : end
    } else if (script.startsWith("/*", index)) {
      const end = script.indexOf("*/", index + 2)
      const after = end === -1 ? script.length : end + 2
      // `/*! … */` is executed by the server: it belongs to the statement.
      if (script[index + 2] === "!") current += script.slice(index, after)
      else current += " "
      index = after
    } else if (char === ";") {
      flush()
      index += 1
    } else {
      current += char
      index += 1
    }
  }
  flush()
  return statements
}

const endOfQuoted = (script: string, start: number): number => {
  const quote = script[start]!
  let index = start + 1
  while (index < script.length) {
    if (script[index] === "\\" && quote !== "`") index += 2
    else if (script[index] === quote) {
      // A doubled quote stands for itself.
      if (script[index + 1] !== quote) return index + 1
      index += 2
    } else index += 1
  }
  return script.length
}
