/** What the hub and the connectors need of FHIR definitions: validation, codes, and the project's own canonical resources. */
export { type Issue, maxDepth, maxIssues, maxValues, type ValidationOptions, validateResource } from './validate.js';
export { isCleanText, isDate, isDateTime, isInstant } from './primitives.js';
