/** What models write that is no code: control tokens, marks of the next cell, fences, and words to the user. */

/** Tokens that end what is meant for the text. */
const CONTROL =
  /<[|｜][^|｜<>\n]{1,40}[|｜]>|(?<![\w)\]])\[\/?INST\]|<\/s>|<(?:fim_(?:prefix|suffix|middle|pad)|file_sep|repo_name|PRE|SUF|MID|EOT|endoftext|(?:start|end)_of_turn|jupyter_(?:code|output|text|start)|empty_output)>/g;
const PARTIAL_CONTROL =
  /(?:<(?:[|｜][^|｜<>\n]{0,40}[|｜]?|\/s?|[a-zA-Z_]{1,20})?|(?<![\w)\]])\[(?:\/?(?:I(?:NS?)?)?|\/?INST)?)?$/;
/** Tokens after which the text begins. */
const OPENERS =
  /^\s*(?:<\|fim_middle\|>|<fim_middle>|<MID>|<s>|\[\/INST\]|<｜fim▁end｜>|<\|assistant\|>)+/;

const MARKER =
  /^\s*(?:#\s*(?:In|Out)\s*\[|#\s*%%|#\s*<codecell>|(?:In|Out) ?\[[\d ]*\]:|#+\s*Cell\s+\d)/;
const MARKERS = [
  '# In[',
  '# In [',
  '#In[',
  '# Out[',
  '# %%',
  '#%%',
  '# <codecell>',
  '# Cell '
];

export const FENCE = /^\s*```/;

export const REFUSAL =
  /^\s*(?:I(?:['’]m| am) sorry|I apologi[sz]e|I can(?:not|['’]t)|Sorry,|As an AI)\b/;

/** How lines of chat begin. Code hardly ever does: it has brackets or an equals sign before long. */
const WORDS = [
  'Sure',
  'Certainly',
  'Of course',
  'Absolutely',
  'Okay',
  'Here is',
  'Here are',
  "Here's",
  'Here’s',
  'Below is',
  'The following',
  'The code',
  'The completed',
  'The missing',
  'To complete',
  'To fix',
  'You can',
  'This code',
  'This function',
  'This will',
  "Let's",
  'Let me',
  'I hope',
  'Explanation',
  'Note that',
  'In this',
  "I'm sorry",
  'I’m sorry',
  'I am sorry',
  'I apologize',
  'I apologise',
  'I cannot',
  "I can't",
  'I can’t',
  'Sorry,',
  'As an AI',
  'sure',
  'here is',
  "here's"
];

/** The tokens of models in a line, and where its end may become one. */
export function controlTokens(line: string): IterableIterator<RegExpExecArray> {
  return line.matchAll(CONTROL);
}

export function beforePartialControl(line: string): string {
  return line.slice(0, PARTIAL_CONTROL.exec(line)!.index);
}

export function afterOpeners(text: string): string {
  return text.replace(OPENERS, '');
}

/** Whether a line is the mark of a cell. */
export function isMarker(line: string): boolean {
  return MARKER.test(line);
}

/** Whether a line that is still written may become the mark of a cell. */
export function mayBeMarker(line: string): boolean {
  const text = line.trim();
  return (
    text !== '' &&
    (MARKERS.some(marker => marker.startsWith(text)) ||
      /^(?:In?|O(?:ut?)?|(?:In|Out) ?\[[\d ]*\]?)$/.test(text))
  );
}

/** Whether a whole line speaks to the user. */
export function isChat(line: string): boolean {
  const text = line.trim();
  return (
    !looksLikeCode(text) &&
    (/[.:!,?]$/.test(text) || text.split(/\s+/).length > 2) &&
    WORDS.some(
      word => text.startsWith(word) && !/\w/.test(text[word.length] ?? '')
    )
  );
}

/** Whether a line that is still written may become one that speaks to the user. */
export function mayBeChat(line: string): boolean {
  const text = line.trim();
  return (
    text !== '' &&
    !looksLikeCode(text) &&
    WORDS.some(
      word =>
        word.startsWith(text) ||
        (text.startsWith(word) && !/\w/.test(text[word.length] ?? ''))
    )
  );
}

function looksLikeCode(line: string): boolean {
  return /[=[{]|\w\(/.test(line.replace(/`[^`]*(`|$)/g, ''));
}
