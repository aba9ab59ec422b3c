/**
 * What a service's database user may do in its own database: read everything, change every table but those that are
 * append-only. Rights are given table by table, because MySQL and MariaDB can't take one table out of a database's.
 */

/** Tables whose rows are written once and never changed. */
export const APPEND_ONLY: ReadonlySet<string> = new Set(["audit", "audit_seal"])

/** Written by migrations only, which run as the administrator. */
const MIGRATIONS = "schema_migration"

const quoted = (name: string): string => `\`${name.replaceAll("`", "``")}\``

/** Where a right is to a whole database, its name is a pattern. */
const literally = (name: string): string => quoted(name.replace(/[\\%_]/g, "\\$&"))

/**
 * The statements that give `account` (such as `'ordering'@'%'`) its rights to `database`, whose tables these are. They
 * can be repeated. The last ones take back rights to the whole database from a time before these rules; between the
 * first and the last of them no right is missing.
 */
export const statements = (
  database: string,
  tables: ReadonlyArray<string>,
  account: string,
): ReadonlyArray<string> => [
  `GRANT SELECT, CREATE TEMPORARY TABLES ON ${literally(database)}.* TO ${account}`,
  ...tables
    .filter((table) => table !== MIGRATIONS)
    .map((table) => {
      const rights = APPEND_ONLY.has(table) ? "INSERT" : "INSERT, UPDATE, DELETE"
      return `GRANT ${rights} ON ${quoted(database)}.${quoted(table)} TO ${account}`
    }),
  `REVOKE INSERT, UPDATE, DELETE ON ${literally(database)}.* FROM ${account}`,
]
