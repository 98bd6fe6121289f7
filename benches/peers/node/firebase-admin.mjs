// firebase-admin as a plain sender: firebase-admin.mjs PORT COUNT
import http2 from 'node:http2'
import { initializeApp } from 'firebase-admin/app'
import { getMessaging } from 'firebase-admin/messaging'
import { article, body, measure, title } from './message.mjs'

const [port, count] = process.argv.slice(2)
// It knows Google's host only, which also takes the scheme "https:" that it sends; nginx does not.
const connect = http2.connect
http2.connect = (_, options) => {
  const session = connect(`https://localhost:${port}`, options)
  const request = session.request
  session.request = (headers) => request.call(session, { ...headers, ':scheme': 'https' })
  return session
}
const app = initializeApp({
  projectId: 'bench',
  credential: { getAccessToken: async () => ({ access_token: 'ya29.bench', expires_in: 3599 }) },
})
const suffix = 'x'.repeat(120)
// 500 is the most that it takes at once.
await measure(Number(count), 500, async (from, length) => {
  const message = { notification: { title, body }, data: { article }, android: { priority: 'high' } }
  const messages = Array.from({ length }, (_, at) => ({ ...message, token: `${from + at}:${suffix}` }))
  const { successCount, responses } = await getMessaging(app).sendEach(messages)
  const failed = responses.find((response) => !response.success)
  if (failed) console.error(failed.error)
  return successCount
})
process.exit(0)
