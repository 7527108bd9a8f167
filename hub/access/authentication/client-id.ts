/** What a client id may look like; anything else is not looked up. */
export const CLIENT_ID = /^[A-Za-z0-9._~-]{1,64}$/;
