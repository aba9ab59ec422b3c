/**
 * What can be done to an object: asked for in a form that says what will happen, with the reason that the audit trail
 * keeps, and done once however often the button is pressed.
 */
import { isFloodgateError } from "@floodgate/client/FloodgateError"
import type { Permission } from "@floodgate/client/gen/Roles"
import { useMutation, useQueryClient } from "@tanstack/react-query"
import { Alert, App, Button, Drawer, Form, Space } from "antd"
import { type ReactNode, useRef, useState } from "react"
import { useTranslations } from "use-intl"
import type { ConsoleWords } from "../../texts/Words.ts"
import { ErrorNote } from "./ErrorNote.tsx"
import { FieldInput } from "./FieldInput.tsx"
import { entered, type Field, isJson, sent } from "./fields.ts"
import { usePermits } from "./Guarded.tsx"
import { useNames } from "./Names.ts"

export type ActionName = keyof ConsoleWords["action"]

/** What was entered, as the API takes it; `reason` among it. */
export type Values = Readonly<Record<string, any>>

export interface Action<R> {
  readonly name: ActionName
  readonly permission: Permission
  /** It takes something away from somebody. */
  readonly danger?: boolean
  /** Whether the object's state allows it; the edge has the last word. */
  readonly when?: (row: R) => boolean
  /** What is asked for beside the reason, by what has been entered so far. */
  readonly fields?: (row: R, values: Values) => ReadonlyArray<Field>
  /** Publishing has its reason in itself. */
  readonly reasonless?: boolean
  /** `key` makes it happen once: the same for the same values. */
  readonly run: (row: R, values: Values, key: string) => Promise<unknown>
  /** What has to be read now, such as a secret that is never shown again. */
  readonly result?: (answer: any) => ReactNode
}

const REASON: Field = { name: "reason", kind: "text", max: 500 }

/** A key for what is asked: asking the same again, because no answer came, must not do it twice. */
const useKey = (): ((values: Values) => string) => {
  const last = useRef({ text: "", key: "" })
  return (values) => {
    const text = JSON.stringify(values)
    if (text !== last.current.text) last.current = { text, key: crypto.randomUUID() }
    return last.current.key
  }
}

interface FormProps<R> {
  readonly action: Action<R>
  readonly row: R
  /** Of what, in words. */
  readonly about?: string
  readonly onClose: () => void
}

const ActionForm = <R,>({ about, action, onClose, row }: FormProps<R>) => {
  const t = useTranslations("console")
  const { field: nameOf } = useNames()
  const { message } = App.useApp()
  const queries = useQueryClient()
  const keyOf = useKey()
  const [form] = Form.useForm()
  const values: Values = Form.useWatch([], form) ?? {}
  const fields: ReadonlyArray<Field> = [
    ...(action.fields?.(row, values) ?? []),
    ...(action.reasonless === true ? [] : [REASON]),
  ]
  const label = t(`action.${action.name}.label`)
  const run = useMutation({
    mutationFn: (form: Values) => {
      const payload = Object.fromEntries(
        fields
          .map((field) => [field.name, sent(field, form[field.name])] as const)
          .filter(([, value]) => value !== undefined),
      )
      return action.run(row, payload, keyOf(payload))
    },
    onSuccess: () => {
      void message.success(t("shell.done", { label }))
      // Whatever is shown may have changed by it.
      void queries.invalidateQueries()
      if (action.result === undefined) onClose()
    },
    onError: (error) => {
      if (!isFloodgateError(error, 400)) return
      const known = new Set(fields.map(({ name }) => name))
      form.setFields(
        (error.data?.issues ?? [])
          .filter(({ path }) => known.has(path))
          .map(({ message: text, path }) => ({ name: path, errors: [text] })),
      )
    },
  })
  const result = run.data !== undefined && action.result !== undefined ? action.result(run.data) : undefined
  return (
    <Drawer
      open
      title={about === undefined ? label : `${label} · ${about}`}
      onClose={onClose}
      size={fields.length > 4 ? 560 : 460}
      closable={{ "aria-label": t("shell.close") }}
      footer={
        result === undefined ? (
          <Space>
            <Button
              type="primary"
              danger={action.danger === true}
              loading={run.isPending}
              onClick={() => form.submit()}
            >
              {label}
            </Button>
            <Button onClick={onClose}>{t("shell.leave")}</Button>
          </Space>
        ) : (
          <Button type="primary" onClick={onClose}>
            {t("shell.close")}
          </Button>
        )
      }
    >
      {result ?? (
        <Form
          form={form}
          name={action.name}
          layout="vertical"
          initialValues={Object.fromEntries(
            (action.fields?.(row, {}) ?? []).map((field) => [field.name, entered(field)]),
          )}
          onFinish={(filled: Values) => run.mutate(filled)}
          scrollToFirstError
        >
          <Alert
            className="explains"
            type={action.danger === true ? "warning" : "info"}
            showIcon
            title={t(`action.${action.name}.explains`)}
          />
          {fields.map((field) => (
            <Form.Item
              key={field.name}
              name={field.name}
              label={nameOf(field.name)}
              initialValue={entered(field)}
              rules={[
                { required: field.optional !== true && field.kind !== "flag", message: t("shell.required") },
                ...(field.kind === "json"
                  ? [
                      {
                        validator: (_: unknown, text: string) =>
                          isJson(text) ? Promise.resolve() : Promise.reject(new Error(t("shell.notJson"))),
                      },
                    ]
                  : []),
              ]}
            >
              <FieldInput field={field} />
            </Form.Item>
          ))}
          {run.error !== null && <ErrorNote error={run.error} />}
        </Form>
      )}
    </Drawer>
  )
}

interface ActionsProps<R> {
  readonly actions: ReadonlyArray<Action<R>>
  readonly row: R
  readonly about?: string
  /** The first one is what one comes here for. */
  readonly primary?: boolean
}

/** The buttons of what may be done to an object, here and now, by whoever is signed in. */
export const Actions = <R,>({ about, actions, primary = false, row }: ActionsProps<R>) => {
  const t = useTranslations("console")
  const may = usePermits()
  const [open, setOpen] = useState<Action<R>>()
  const possible = actions.filter(
    ({ permission, when }) => may(permission) && (when === undefined || when(row)),
  )
  if (possible.length === 0 && open === undefined) return null
  return (
    <Space wrap size="small">
      {possible.map((action, at) => (
        <Button
          key={action.name}
          danger={action.danger === true}
          {...(primary && at === 0 ? { type: "primary" as const } : {})}
          onClick={() => setOpen(action)}
        >
          {t(`action.${action.name}.label`)}
        </Button>
      ))}
      {open !== undefined && (
        <ActionForm
          action={open}
          row={row}
          {...(about === undefined ? {} : { about })}
          onClose={() => setOpen(undefined)}
        />
      )}
    </Space>
  )
}
