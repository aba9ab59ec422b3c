/** The way in. The address stays, so that one arrives where one wanted to go. */
import { useMutation } from "@tanstack/react-query"
import { Button, Card, Form, Input } from "antd"
import { useTranslations } from "use-intl"
import { signIn } from "../session/Session.ts"
import { ErrorNote } from "./parts/ErrorNote.tsx"

interface Account {
  readonly username: string
  readonly password: string
}

export const SignIn = () => {
  const t = useTranslations("sign")
  const c = useTranslations("console.shell")
  const enter = useMutation({
    mutationFn: ({ password, username }: Account) => signIn(username, password),
  })
  return (
    <Card className="sign-in">
      <h1>{c("title")}</h1>
      <p className="fine">{c("why")}</p>
      <Form<Account> layout="vertical" requiredMark={false} onFinish={(account) => enter.mutate(account)}>
        <Form.Item
          name="username"
          label={t("username")}
          rules={[{ required: true, pattern: /^\w{3,32}$/, message: t("invalidName") }]}
        >
          <Input autoComplete="username" autoCapitalize="none" spellCheck={false} />
        </Form.Item>
        <Form.Item
          name="password"
          label={t("password")}
          rules={[{ required: true, min: 8, max: 128, message: t("invalidPassword") }]}
        >
          <Input type="password" autoComplete="current-password" />
        </Form.Item>
        {enter.error !== null && <ErrorNote error={enter.error} />}
        <Button type="primary" htmlType="submit" block loading={enter.isPending}>
          {enter.isPending ? t("busy") : t("submitIn")}
        </Button>
      </Form>
    </Card>
  )
}
