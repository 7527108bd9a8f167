/**
 * Whether `uid` can be a Unique Identifier (PS3.5 section 9.1): at most 64 characters, numbers joined by dots. Components with
 * leading zeros are against the standard but common in archives and harmless, so they are taken as they are.
 */
export function isUid(uid: string): boolean {
  return uid.length <= 64 && /^[0-2](\.\d+)+$/.test(uid);
}
