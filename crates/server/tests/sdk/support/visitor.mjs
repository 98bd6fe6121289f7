// Somebody at the dashboard.

/** Signs in with an admin token. */
export async function signIn(page, url, token) {
  await page.goto(`${url}/sign-in`);
  await page.getByLabel('Admin token', { exact: true }).fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(`${url}/`);
}
