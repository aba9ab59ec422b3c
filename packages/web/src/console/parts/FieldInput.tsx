/** The controls of fields, by their kind. */
import { unwrap } from "@floodgate/client/Client"
import { useMutation } from "@tanstack/react-query"
import { Checkbox, Input, InputNumber, Select, Switch } from "antd"
import { useTranslations } from "use-intl"
import { client } from "../../session/Session.ts"
import { ErrorNote } from "./ErrorNote.tsx"
import type { Field } from "./fields.ts"
import { useNames } from "./Names.ts"

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
    mutationFn: (file: File) =>
      unwrap(
        client.http.POST("/admin/media", {
          // OpenAPI's types call every binary body a string.
          body: file as unknown as string,
          bodySerializer: (body) => body,
          headers: { "content-type": file.type },
        }),
      ),
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
      return <Input {...rest} onChange={onText} maxLength={field.max ?? 200} />
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
