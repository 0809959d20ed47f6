"use strict";
// The language of `stemzarr ls` over the entries of a page: from a text to a function that tells
// whether an entry fits. Grammar and meaning are those of stemzarr_catalog.query and .sql.
const makeQueries = (FIELDS, UNITS, own) => {
  const spelled = new Map();
  for (const [name, [type, unit]] of Object.entries(FIELDS)) {
    spelled.set(name.toLowerCase(), name);
    if (unit && name.endsWith(`_${unit}`))
      spelled.set(name.slice(0, -unit.length - 1).toLowerCase(), name);
  }
  const ownNames = new Map([...own].map((name) => [name.toLowerCase(), name]));
  const DOCUMENT = ["slug", "title", "kind", "dtype", "ndim"];
  const FLAGS = { 1: 1, yes: 1, true: 1, 0: 0, no: 0, false: 0 };
  const HINTS = { "=<": "<=", "=>": ">=", "=~": "~", "<>": "!=", "!": "!=", "~=": "~" };
  const sticky = (pattern, flags = "") => new RegExp(pattern, `y${flags}`);
  const SIGNS = sticky("[=!<>~:&|]{1,3}");
  const QUOTED = sticky("\"((?:[^\"\\\\]|\\\\[\\s\\S])*)\"|'((?:[^'\\\\]|\\\\[\\s\\S])*)'");
  const BARE = sticky("[^\\s()\"'=<>~!,]+(?:'[^\\s()\"'=<>~!,]+)*");
  const VALUE = sticky("[^\\s()\"',]+(?:'[^\\s()\"',]+)*");
  const FIELD = sticky("([\\p{L}_][\\p{L}\\p{N}_.]*)\\s*(?=[=!<>~])", "u");
  const WORD = sticky("[^\\s()]+");
  const NUMBER = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([^\d\s.].*)?$/;
  const DATE = new RegExp("^(\\d{4})(?:-(\\d{1,2})(?:-(\\d{1,2})(?:[T ](\\d{1,2})(?::(\\d{2})" +
    "(?::(\\d{2}(?:\\.\\d+)?))?)?)?)?)?Z?$");

  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase()
    .split(/[^\p{L}\p{N}]+/u).filter(Boolean).join(" ");
  const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const like = (text, whole) =>
    new RegExp(`^${whole ? "" : "[\\s\\S]*"}${text.split("*").map(escape).join("[\\s\\S]*")}` +
      `${whole ? "" : "[\\s\\S]*"}$`, "i");
  const known = (value) => value !== undefined && value !== null;

  const spellUnit = (text, target) => {
    const units = UNITS[target] || {};
    const short = text.trim().replace(/[µμ]/g, "u").replace("°", "deg").replace("Å", "A");
    if (short in units) return short;
    const same = Object.keys(units).filter((name) => name.toLowerCase() === short.toLowerCase());
    return same.length === 1 ? same[0] : null;
  };
  const toNumber = (name, unit, text) => {
    const match = NUMBER.exec(text.trim());
    if (!match) throw new Error(`${name} is a number, not '${text}'`);
    if (match[2] === undefined) return Number(match[1]);
    const short = spellUnit(match[2], unit);
    if (short === null) throw new Error(`${name} has no unit '${match[2]}'`);
    const sizes = UNITS[unit];
    return Number(match[1]) * (short in sizes && unit in sizes ? sizes[short] / sizes[unit] : 1);
  };
  const order = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  };
  const refuse = (name, operator) => { throw new Error(`${name} does not take '${operator}'`); };

  const compareNumber = (name, unit, operator, text) => {
    if (operator === "~") refuse(name, operator);
    const dots = text.indexOf("..");
    if (dots >= 0 && operator === "=") {
      const low = toNumber(name, unit, text.slice(0, dots));
      const high = toNumber(name, unit, text.slice(dots + 2));
      return (value) => typeof value === "number" && low <= value && value <= high;
    }
    const number = toNumber(name, unit, text);
    const margin = Math.abs(number) * 1e-6;
    if (operator === "=")
      return (value) => typeof value === "number" && Math.abs(value - number) <= margin;
    return (value) => typeof value === "number" && order[operator](value, number);
  };
  const compareText = (name, operator, text) => {
    if (operator in order) refuse(name, operator);
    const pattern = operator === "~"
      ? like(text.replaceAll("*", "\u0000"), false) : text.includes("*") ? like(text, true) : null;
    if (operator === "~") {
      const wanted = text.toLowerCase();
      return (value) => known(value) && String(value).toLowerCase().includes(wanted);
    }
    if (pattern) return (value) => known(value) && pattern.test(String(value));
    return (value) => known(value) && String(value).toLowerCase() === text.toLowerCase();
  };
  const comparePath = (name, operator, text) => {
    const wanted = text.replaceAll("\\", "/");
    if (operator !== "=" || !wanted.replaceAll("/", "")) return compareText(name, operator, wanted);
    const start = /^(\/|[A-Za-z]:)/.test(wanted) ? "/" : "*/";
    const pattern = like(`${start}${wanted.replace(/\/+$/, "")}/*`, true);
    return (value) => known(value) && pattern.test(`/${value}/`);
  };
  const compareFlag = (name, operator, text) => {
    if (operator !== "=") refuse(name, operator);
    const flag = FLAGS[text.toLowerCase()];
    if (flag === undefined) throw new Error(`${name} is yes or no, not '${text}'`);
    return (value) => known(value) && Number(value) === flag;
  };
  const pad = (value, digits = 2) => String(value).padStart(digits, "0");
  const iso = (date, parts) => {
    const day = `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`;
    if (parts < 4) return [pad(date.getUTCFullYear(), 4), day.slice(0, 7), day][parts - 1];
    return `${day}T${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`;
  };
  const period = (name, text) => {
    const match = DATE.exec(text.trim());
    if (!match) throw new Error(`${name} is a date, not '${text}'`);
    const parts = match.slice(1).filter((part) => part !== undefined);
    const [year, month = 1, day = 1, hour = 0, minute = 0, second = 0] =
      parts.map((part) => Math.trunc(Number(part)));
    const make = (...values) => {
      const date = new Date(0);
      date.setUTCFullYear(values[0], values[1], values[2]);
      date.setUTCHours(values[3], values[4], values[5]);
      return date;
    };
    const start = make(year, month - 1, day, hour, minute, second);
    if (iso(start, 6) !== `${pad(year, 4)}-${pad(month)}-${pad(day)}T${pad(hour)}:${pad(minute)}:${pad(second)}`)
      throw new Error(`'${text}' is not a date`);
    const next = [year, month - 1, day, hour, minute, second];
    next[parts.length - 1] += 1;
    return [iso(start, parts.length), iso(make(...next), parts.length)];
  };
  const compareDate = (name, operator, text) => {
    if (operator === "~") return compareText(name, operator, text);
    const dots = text.indexOf("..");
    let [first, after] = period(name, dots >= 0 && operator === "=" ? text.slice(0, dots) : text);
    if (dots >= 0 && operator === "=") after = period(name, text.slice(dots + 2))[1];
    if (operator === "=") return (value) => known(value) && first <= value && value < after;
    if (operator === "<=") return (value) => known(value) && value < after;
    return (value) => known(value) && order[operator](value, first);
  };
  const compare = ([type, unit], name, operator, text) => {
    if (text === "" && operator === "=") return (value) => !known(value);
    if (type === "number") return compareNumber(name, unit, operator, text);
    if (type === "flag") return compareFlag(name, operator, text);
    if (type === "date") return compareDate(name, operator, text);
    return (type === "path" ? comparePath : compareText)(name, operator, text);
  };
  // Values that people added are numbers here and texts there.
  const compareOwn = (name, operator, text) => {
    if (text === "" && operator === "=") return (value) => !known(value);
    const number = (value) => typeof value === "number" ? value
      : typeof value === "boolean" ? Number(value)
        : NUMBER.test(String(value).trim()) && !NUMBER.exec(String(value).trim())[2] ? Number(value) : undefined;
    if (operator in order) {
      const test = compareNumber(name, "", operator, text);
      return (value) => known(value) && test(number(value));
    }
    const tests = [compareText(name, operator, text)];
    const ends = text.split("..");
    if (operator === "=" && ((NUMBER.test(text) && !text.includes("*")) ||
        (ends.length === 2 && ends.every((end) => NUMBER.test(end))))) {
      const test = compareNumber(name, "", "=", text);
      tests.push((value) => known(value) && test(number(value)));
    }
    return (value) => tests.some((test) => test(value));
  };

  const comparison = (scope, field, operator, values) => {
    if (operator === "!=" || operator === "!~") {
      const inner = comparison(scope, field, operator === "!=" ? "=" : "~", values);
      return (entry) => !inner(entry);
    }
    if (scope === "document") {
      const name = field.toLowerCase();
      if (!DOCUMENT.includes(name)) throw new Error(`documents have no field '${field}'`);
      const type = [name === "ndim" ? "number" : "text", ""];
      const tests = values.map((value) => compare(type, name, operator, value));
      return (entry) => entry.parts.some((part) => tests.some((test) => test(part[name])));
    }
    if (field.toLowerCase() === "tag") {
      if (values.length === 1 && values[0] === "" && operator === "=")
        return (entry) => !entry.tags.length;
      const tests = values.map((value) => compare(["text", ""], "tag", operator, value));
      return (entry) => entry.tags.some((tag) => tests.some((test) => test(tag)));
    }
    const name = spelled.get(field.toLowerCase());
    if (name !== undefined) {
      const tests = values.map((value) => compare(FIELDS[name], name, operator, value));
      return (entry) => tests.some((test) => test(entry.fields[name]));
    }
    const added = ownNames.get(field.toLowerCase());
    if (added === undefined) throw new Error(`there is no field '${field}'`);
    const tests = values.map((value) => compareOwn(added, operator, value));
    return (entry) => {
      const key = Object.keys(entry.more).find((one) => one.toLowerCase() === added.toLowerCase());
      return tests.some((test) => test(entry.more[key]));
    };
  };

  class Parser {
    constructor(text) { this.text = text; this.place = 0; this.blanks(); }
    get end() { return this.place >= this.text.length; }
    blanks() { while (!this.end && /\s/.test(this.text[this.place])) this.place += 1; }
    take(pattern) {
      pattern.lastIndex = this.place;
      const match = pattern.exec(this.text);
      if (match) { this.place = pattern.lastIndex; this.blanks(); }
      return match;
    }
    word(name) { return this.take(sticky(`${name}(?=[\\s()]|$)`, "i")) !== null; }
    sign(character) { return this.take(sticky(escape(character))) !== null; }
    either() {
      const parts = [this.all()];
      while (this.word("or")) parts.push(this.all());
      return parts.length === 1 ? parts[0] : (entry) => parts.some((part) => part(entry));
    }
    all() {
      const parts = [this.denied()];
      while (!this.end && this.text[this.place] !== ")") {
        const or = sticky("or(?=[\\s()]|$)", "i");
        or.lastIndex = this.place;
        if (or.test(this.text)) break;
        this.word("and");
        parts.push(this.denied());
      }
      return (entry) => parts.every((part) => part(entry));
    }
    denied() {
      if (this.word("not")) { const part = this.denied(); return (entry) => !part(entry); }
      if (this.sign("(")) {
        const part = this.either();
        if (!this.sign(")")) throw new Error("a ')' is missing");
        return part;
      }
      return this.term();
    }
    term() {
      if (this.end || this.text[this.place] === ")") throw new Error("something is missing");
      if (this.take(sticky("tag:", "i")))
        throw new Error("'stemzarr ls' searches the tags of sources, which a page does not hold");
      if (this.take(sticky("has:", "i")))
        throw new Error("'stemzarr ls' finds results, which a page does not hold");
      const scope = this.take(sticky("document:", "i")) ? "document" : "entry";
      const field = this.take(FIELD);
      if (field) return comparison(scope, field[1], this.operator(), this.values(field[1]));
      if (scope === "document") throw new Error("a field is missing");
      return this.words();
    }
    operator() {
      const match = this.take(SIGNS);
      const found = match ? match[0] : this.text[this.place];
      if (!/^(==|!=|<=|>=|!~|=|<|>|~)$/.test(found))
        throw new Error(`'${found}' is not an operator; did you mean ${HINTS[found] || "="}`);
      return found === "==" ? "=" : found;
    }
    values(name) {
      const values = [this.value()];
      while (!this.end && this.sign(",")) values.push(this.value());
      const field = FIELDS[spelled.get(name.toLowerCase())];
      WORD.lastIndex = this.place;
      const unit = WORD.exec(this.text);
      const last = values[values.length - 1];
      if (field && unit && /^[-+.\deE]*\d\.?$/.test(last) && spellUnit(unit[0], field[1]) !== null) {
        this.take(WORD);
        values[values.length - 1] = `${last}${unit[0]}`;
      }
      return values;
    }
    quoted() {
      const match = this.take(QUOTED);
      if (match) return (match[1] ?? match[2]).replace(/\\([\s\S])/g, "$1");
      if (!this.end && "\"'".includes(this.text[this.place])) throw new Error("a quote is not closed");
      return null;
    }
    value() {
      const quoted = this.quoted();
      if (quoted !== null) return quoted;
      VALUE.lastIndex = this.place;
      const match = VALUE.exec(this.text);
      if (!match) throw new Error("a value is missing");
      this.place = VALUE.lastIndex;
      if (this.text[this.place] !== ",") this.blanks();
      return match[0];
    }
    words() {
      const quoted = this.quoted();
      const match = quoted === null ? this.take(BARE) : null;
      if (quoted === null && !match) throw new Error(`'${this.text[this.place]}' is not understood`);
      const text = quoted ?? match[0];
      const wanted = plain(text);
      if (match && /^(and|or)$/i.test(text)) throw new Error(`something is missing before '${text}'`);
      if (!wanted) throw new Error(`'${text}' holds no letter or digit`);
      const phrase = quoted === null ? ` ${wanted}` : ` ${wanted} `;
      return (entry) => entry.words.includes(phrase);
    }
  }
  return {
    plain,
    parse: (text) => {
      const parser = new Parser(text);
      if (parser.end) return () => true;
      const test = parser.either();
      if (!parser.end) throw new Error("there is a ')' too many");
      return test;
    },
  };
};
