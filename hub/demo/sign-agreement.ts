/**
 * Signs an agreement or membership as it stands, in the name of whose token it is: the terms are read, then their digest is signed.
 * @throws Error with the status where either is refused
 */
export async function signAgreement(baseUrl: string, token: string, id: string): Promise<void> {
  const url = `${baseUrl}/access/agreements/${id}`;
  const { digest } = (await answered(fetch(url, { headers: { authorization: `Bearer ${token}` } }))) as { digest: string };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  await answered(fetch(`${url}/signature`, { method: 'POST', headers, body: JSON.stringify({ digest }) }));
}

async function answered(reply: Promise<Response>): Promise<unknown> {
  const response = await reply;
  if (!response.ok) throw new Error(`agreement: HTTP ${response.status} ${(await response.text()).slice(0, 300)}`);
  return response.json();
}
