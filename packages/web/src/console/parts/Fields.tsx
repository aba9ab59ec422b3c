/** Fields of forms and filters: how each kind is entered, and what the API gets of it. */
import { unwrap } from "@floodgate/client/Client"
import { useMutation } from "@tanstack/react-query"
import { Checkbox, Input, InputNumber, Select, Switch } from "antd"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import { ErrorNote } from "./ErrorNote.tsx"
import { useNames } from "./Names.ts"

interface Base {
  /** As the API calls it. */
  readonly name: string
  readonly optional?: boolean
  /** As the API gives it. */
  readonly initial?: unknown
}

export type Field = Base &
  (
    | { readonly kind: "text" | "paragraphs"; readonly max?: number }
    | { readonly kind: "whole"; readonly min?: number; readonly max?: number }
    | { readonly kind: "decimal"; readonly min: number; readonly max: number }
    /** Entered in major units, sent in minor ones. */
    | { readonly kind: "money" }
    /** Entered in the time of this machine. */
    | { readonly kind: "time" }
    | { readonly kind: "choice" | "choices"; readonly options: ReadonlyArray<string> }
    | { readonly kind: "flag" }
    | { readonly kind: "image" }
    | { readonly kind: "json" }
  )

/** Minor units of one major unit. The goods are sold in one currency, which has hundredths. */
const MINOR = 100

const two = (n: number): string => String(n).padStart(2, "0")

/** What `datetime-local` takes: this machine's time, to the second. */
export const localOf = (instant: string): string => {
  const at = new Date(instant)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

/** What a form starts with. */
export const entered = ({ initial, kind }: Field): unknown => {
  if (initial === null || initial === undefined) return kind === "flag" ? false : undefined
  if (kind === "money") return (initial as number) / MINOR
  if (kind === "time") return localOf(initial as string)
  if (kind === "json") return JSON.stringify(initial, null, 2)
  return initial
}

/** What is sent of what was entered; undefined is left out. */
export const sent = ({ kind }: Field, value: unknown): unknown => {
  if (value === undefined || value === null || value === "") return undefined
  if (kind === "money") return Math.round((value as number) * MINOR)
  if (kind === "time") return new Date(value as string).toISOString()
  if (kind === "json") return JSON.parse(value as string)
  return value
}

export const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

interface InputProps {
  readonly id?: string
  readonly field: Field
  readonly value?: any
  readonly onChange?: (value: any) => void
}

/** Uploads at once; the form keeps the address that the edge gave the picture. */
const ImageInput = ({ id, onChange, value }: Omit<InputProps, "field">) => {
  const t = useTranslations("console.shell")
  const upload = useMutation({
    mutationFn: async (file: File) => {
      const answer = unwrap(
        client.http.POST(
          "/admin/media" as never,
          {
            body: file,
            bodySerializer: (body: unknown) => body,
            headers: { "content-type": file.type },
          } as never,
        ) as never,
      )
      return (await answer) as unknown as { readonly url: string }
    },
    onSuccess: ({ url }) => onChange?.(url),
  })
  return (
    <div className="image-input">
      {typeof value === "string" && value !== "" && <img src={value} alt="" />}
      <input
        id={id}
        type="file"
        accept="image/png,image/jpeg,image/webp"
        disabled={upload.isPending}
        onChange={({ target }) => {
          const file = target.files?.[0]
          if (file !== undefined) upload.mutate(file)
        }}
      />
      <span className="fine">{t("imageHelp")}</span>
      {upload.error !== null && <ErrorNote error={upload.error} />}
    </div>
  )
}

/** The control of a field; a form's item gives it its id, its value and its listener. */
export const FieldInput = ({ field, ...rest }: InputProps) => {
  const { word } = useNames()
  const onText = (event: { readonly target: { readonly value: string } }) =>
    rest.onChange?.(event.target.value)
  switch (field.kind) {
    case "text":
      return <Input {...rest} onChange={onText} maxLength={field.max ?? 200} allowClear />
    case "paragraphs":
      return <Input.TextArea {...rest} onChange={onText} rows={3} maxLength={field.max ?? 2000} />
    case "json":
      return <Input.TextArea {...rest} onChange={onText} rows={8} className="mono" spellCheck={false} />
    case "time":
      return <Input {...rest} onChange={onText} type="datetime-local" step={1} />
    case "whole":
      return (
        <InputNumber
          {...rest}
          min={field.min ?? 1}
          max={field.max ?? Number.MAX_SAFE_INTEGER}
          precision={0}
        />
      )
    case "decimal":
      return <InputNumber {...rest} min={field.min} max={field.max} step={1} />
    case "money":
      return <InputNumber {...rest} min={0.01} max={100_000_000} precision={2} prefix="¥" />
    case "flag":
      return <Switch {...rest} checked={rest.value === true} />
    case "image":
      return <ImageInput {...rest} />
    case "choices":
      return (
        <Checkbox.Group {...rest} options={field.options.map((value) => ({ value, label: word(value) }))} />
      )
    case "choice":
      return (
        <Select
          {...rest}
          allowClear={field.optional === true}
          options={field.options.map((value) => ({ value, label: word(value) }))}
        />
      )
  }
}
