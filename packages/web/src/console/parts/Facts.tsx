/** An object, field by field. */
import { useNames } from "./Names.ts"
import { Value } from "./Value.tsx"

interface Props {
  readonly row: object
  /** All that it has unless said. */
  readonly names?: ReadonlyArray<string>
}

export const Facts = ({ names, row }: Props) => {
  const { field } = useNames()
  const fields = row as Readonly<Record<string, unknown>>
  return (
    <dl className="facts">
      {(names ?? Object.keys(row)).map((name) => (
        <div key={name}>
          <dt>{field(name)}</dt>
          <dd>
            <Value name={name} value={fields[name]} row={row} />
          </dd>
        </div>
      ))}
    </dl>
  )
}
