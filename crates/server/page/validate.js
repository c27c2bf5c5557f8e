// Whether a document fits a JSON Schema: a second opinion on what the server enforced, with the
// keywords that structured outputs use. Pure.

const SILENT = new Set(["$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"]);

/** Deeper schemas and references in a circle are not followed. */
const MAX_DEPTH = 64;

/** What does not fit, as sentences, and the keywords that were not looked at. */
export function validate(schema, value) {
  const check = { root: schema, faults: [], unchecked: new Set() };
  visit(check, schema, value, "the document", 0);
  return { faults: check.faults, unchecked: [...check.unchecked].sort() };
}

function visit(check, schema, value, at, depth) {
  if (schema === true || schema === undefined) return;
  if (schema === false) return fault(check, at, "may not be there");
  if (depth > MAX_DEPTH || !isRecord(schema)) return void check.unchecked.add("(too deep)");
  for (const [keyword, rule] of Object.entries(schema)) {
    if (Object.hasOwn(KEYWORDS, keyword)) KEYWORDS[keyword]({ check, schema, rule, value, at, depth });
    else if (!SILENT.has(keyword)) check.unchecked.add(keyword);
  }
}

function fault(check, at, what) {
  if (check.faults.length < 20) check.faults.push(`${at} ${what}`);
}

const isRecord = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const length = (text) => [...text].length;
const show = (value) => JSON.stringify(value);
const same = (a, b) => canonical(a) === canonical(b);

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isRecord(value)) return JSON.stringify(value);
  const pairs = Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${pairs.join()}}`;
}

function hasType(value, type) {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return isRecord(value);
    case "integer":
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

/** Whether a value fits one of several schemas, without the faults of those that it does not. */
function fits({ check, depth, value, at }, schema) {
  const inner = { ...check, faults: [] };
  visit(inner, schema, value, at, depth + 1);
  return inner.faults.length === 0;
}

/** A keyword that compares: of `kind`, by `measure`, with the words for what is missing. */
function bound(kind, measure, holds, words) {
  return ({ check, rule, value, at }) => {
    if (typeof rule === "number" && kind(value) && !holds(measure(value), rule)) fault(check, at, `${words} ${rule}`);
  };
}

const isText = (value) => typeof value === "string";
const isNumber = (value) => typeof value === "number";
const itself = (value) => value;
const size = (value) => value.length;
const members = (value) => Object.keys(value).length;
const atLeast = (a, b) => a >= b;
const atMost = (a, b) => a <= b;

const KEYWORDS = {
  type({ check, rule, value, at }) {
    const types = [rule].flat();
    if (!types.some((type) => hasType(value, type))) fault(check, at, `is not of type ${types.join(" or ")}`);
  },
  enum({ check, rule, value, at }) {
    if (Array.isArray(rule) && !rule.some((one) => same(one, value))) fault(check, at, `is none of ${show(rule)}`);
  },
  const({ check, rule, value, at }) {
    if (!same(rule, value)) fault(check, at, `is not ${show(rule)}`);
  },
  required({ check, rule, value, at }) {
    if (!isRecord(value) || !Array.isArray(rule)) return;
    for (const name of rule) if (!Object.hasOwn(value, name)) fault(check, at, `has no ${show(name)}`);
  },
  properties({ check, rule, value, at, depth }) {
    if (!isRecord(value) || !isRecord(rule)) return;
    for (const [name, schema] of Object.entries(rule)) {
      if (Object.hasOwn(value, name)) visit(check, schema, value[name], `${show(name)} of ${at}`, depth + 1);
    }
  },
  additionalProperties({ check, schema, rule, value, at, depth }) {
    if (!isRecord(value)) return;
    if (isRecord(schema.patternProperties)) return void check.unchecked.add("additionalProperties");
    for (const name of Object.keys(value)) {
      if (!isRecord(schema.properties) || !Object.hasOwn(schema.properties, name)) visit(check, rule, value[name], `${show(name)} of ${at}`, depth + 1);
    }
  },
  items({ check, schema, rule, value, at, depth }) {
    if (!Array.isArray(value)) return;
    const start = Array.isArray(schema.prefixItems) ? schema.prefixItems.length : 0;
    value.slice(start).forEach((one, i) => visit(check, rule, one, `item ${start + i + 1} of ${at}`, depth + 1));
  },
  prefixItems({ check, rule, value, at, depth }) {
    if (!Array.isArray(value) || !Array.isArray(rule)) return;
    rule.slice(0, value.length).forEach((schema, i) => visit(check, schema, value[i], `item ${i + 1} of ${at}`, depth + 1));
  },
  pattern({ check, rule, value, at }) {
    if (!isText(value)) return;
    try {
      if (!new RegExp(rule, "u").test(value)) fault(check, at, `does not match ${rule}`);
    } catch {
      check.unchecked.add("pattern");
    }
  },
  multipleOf({ check, rule, value, at }) {
    if (isNumber(value) && rule > 0 && Math.abs(value / rule - Math.round(value / rule)) > 1e-9) fault(check, at, `is no multiple of ${rule}`);
  },
  uniqueItems({ check, rule, value, at }) {
    if (rule === true && Array.isArray(value) && new Set(value.map(canonical)).size < value.length) fault(check, at, "has an item twice");
  },
  allOf({ check, rule, value, at, depth }) {
    if (Array.isArray(rule)) for (const schema of rule) visit(check, schema, value, at, depth + 1);
  },
  anyOf(context) {
    const { check, rule, at } = context;
    if (Array.isArray(rule) && !rule.some((schema) => fits(context, schema))) fault(check, at, "fits none of the schemas of anyOf");
  },
  oneOf(context) {
    const { check, rule, at } = context;
    const n = Array.isArray(rule) ? rule.filter((schema) => fits(context, schema)).length : 1;
    if (n !== 1) fault(check, at, `fits ${n} of the schemas of oneOf`);
  },
  not(context) {
    if (fits(context, context.rule)) fault(context.check, context.at, "fits the schema of not");
  },
  $ref({ check, rule, value, at, depth }) {
    const target = resolve(check.root, rule);
    if (target === undefined) check.unchecked.add("$ref");
    else visit(check, target, value, at, depth + 1);
  },
  minLength: bound(isText, length, atLeast, "is shorter than"),
  maxLength: bound(isText, length, atMost, "is longer than"),
  minItems: bound(Array.isArray, size, atLeast, "has fewer items than"),
  maxItems: bound(Array.isArray, size, atMost, "has more items than"),
  minProperties: bound(isRecord, members, atLeast, "has fewer members than"),
  maxProperties: bound(isRecord, members, atMost, "has more members than"),
  minimum: bound(isNumber, itself, atLeast, "is less than"),
  maximum: bound(isNumber, itself, atMost, "is more than"),
  exclusiveMinimum: bound(isNumber, itself, (a, b) => a > b, "is not more than"),
  exclusiveMaximum: bound(isNumber, itself, (a, b) => a < b, "is not less than"),
};

/** What a reference within the document names. */
function resolve(root, reference) {
  if (reference === "#") return root;
  if (!isText(reference) || !reference.startsWith("#/")) return undefined;
  let at = root;
  for (const step of reference.slice(2).split("/")) {
    const name = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, name)) return undefined;
    at = at[name];
  }
  return at;
}
