import type { Request } from '@hapi/hapi';
import { z } from 'zod';
import { invalid, notFound } from '../outcomes.js';

/** What was sent, in the body or the query. @throws Refusal 400 that names the element. */
export function asked<T>(schema: z.ZodType<T>, given: unknown): T {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw invalid(issue?.message ?? 'invalid', issue?.path.join('.') || undefined);
}

/** `_count`: the items of a page. */
export const pageSize = (maxPage: number) => z.coerce.number().int().min(1).max(maxPage).default(Math.min(50, maxPage));

/** Ids that the hub gives. */
export const ID = z.string().regex(/^[A-Za-z0-9-]{1,64}$/);

/** The id in the path. @throws Refusal 404 for what can be none. */
export function idOf(request: Request): string {
  const id = ID.safeParse(request.params['id']);
  if (!id.success) throw notFound();
  return id.data;
}

/** One line of a person's own words. */
export const text = (least: number, most: number) =>
  z
    .string()
    .trim()
    .min(least)
    .max(most)
    .regex(/^[^\p{Cc}]*$/u, 'control characters are not taken');
