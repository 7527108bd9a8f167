/** What the hub and the connectors need of FHIR definitions: validation, codes, and the project's own canonical resources. */
export { type BodyPart, bodyPartOfCode, bodyParts, bodySiteCoding } from './body-parts.js';
export { type CanonicalType, canonicalResource, canonicalResources, profileUrls } from './canonical-resources.js';
export * from './codes.js';
export { type TypeRule, typeRule } from './compile.js';
export { isCleanText, isDate, isDateTime, isInstant } from './primitives.js';
export { maxDepth, maxIssues, maxValues } from './run.js';
export { type Issue, type ValidationOptions, validateResource } from './validate.js';
