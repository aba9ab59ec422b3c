/** What a list is searched by. A choice counts at once, a text when it is sent. */
import { Button, Form, Grid, Space } from "antd"
import { useTranslations } from "use-intl"
import type { Search } from "./Address.tsx"
import { FieldInput } from "./FieldInput.tsx"
import { entered, type Field, sent } from "./fields.ts"
import { useNames } from "./Names.ts"

interface Props {
  readonly fields: ReadonlyArray<Field>
  readonly search: Search
  readonly onChange: (next: Readonly<Record<string, string | undefined>>) => void
}

const FilterForm = ({ fields, onChange, search }: Props) => {
  const t = useTranslations("console.list")
  const { field: nameOf } = useNames()
  const [form] = Form.useForm()
  const filled = (values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(
      fields.map((field) => [field.name, sent(field, values[field.name]) as string | undefined]),
    )
  return (
    <Form
      form={form}
      // Its controls' ids begin so: an action's form on the same page may have fields of the same names.
      name="filter"
      layout="inline"
      className="filters"
      initialValues={Object.fromEntries(
        fields.map((field) => [field.name, entered({ ...field, initial: search[field.name] })]),
      )}
      onFinish={(values) => onChange(filled(values))}
      onValuesChange={(changed) => {
        const one = fields.find(({ name }) => name in changed)
        if (one?.kind === "choice") onChange(filled(form.getFieldsValue()))
      }}
    >
      {fields.map((field) => (
        <Form.Item key={field.name} name={field.name} label={nameOf(field.name)}>
          <FieldInput field={{ ...field, optional: true }} />
        </Form.Item>
      ))}
      <Space>
        <Button htmlType="submit">{t("search")}</Button>
        <Button
          type="text"
          onClick={() => onChange(Object.fromEntries(fields.map(({ name }) => [name, undefined])))}
        >
          {t("clear")}
        </Button>
      </Space>
    </Form>
  )
}

/**
 * What is in the address is what is searched for, also after a step back: then the form is a new one. On a phone it is
 * folded while it says nothing, since the list is what one came for.
 */
export const Filters = (props: Props) => {
  const t = useTranslations("console.list")
  const isWide = Grid.useBreakpoint().md === true
  const form = (
    <FilterForm key={JSON.stringify(props.fields.map(({ name }) => props.search[name]))} {...props} />
  )
  const isSet = props.fields.some(({ name }) => props.search[name] !== undefined)
  return (
    <search>
      {isWide ? (
        form
      ) : (
        <details className="narrow" open={isSet}>
          <summary>{t("narrow")}</summary>
          {form}
        </details>
      )}
    </search>
  )
}
