import type { TranslationBundle } from '@jupyterlab/translation';

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Numbers, money and times in the user's language. */
export class Format {
  /** `language` as Lab names it: `en`, `de_DE`. */
  constructor(
    private _trans: TranslationBundle,
    language = 'en'
  ) {
    const tag = language.replace('_', '-');
    // Lab knows languages that the browser may not.
    this._locale = Intl.NumberFormat.supportedLocalesOf(tag)[0] ?? 'en';
  }

  /** US dollars: whole ones, cents, or two digits more than zero where there are no cents yet. */
  money(usd: number): string {
    const two = Number(usd.toPrecision(2));
    const digits = two < 0.1 && two > 0 ? 1 - Math.floor(Math.log10(two)) : 2;
    return this._number(usd, {
      style: 'currency',
      currency: 'USD',
      currencyDisplay: 'narrowSymbol',
      minimumFractionDigits: Number.isInteger(usd)
        ? 0
        : two < 0.01
          ? digits
          : 2,
      maximumFractionDigits: digits
    });
  }

  integer(value: number): string {
    return this._number(value, { maximumFractionDigits: 0 });
  }

  /** Of 0 to 1. Only what is whole is called 100 %, and only nothing is called 0 %. */
  percent(share: number): string {
    const inside = Math.min(0.99, Math.max(0.01, share));
    return this._number(share > 0 && share < 1 ? inside : share, {
      style: 'percent',
      maximumFractionDigits: 0
    });
  }

  /** A count with at most three digits: `38`, `1.2k`, `14k`. */
  count(value: number): string {
    return this._scaled(value, 1000, ['', 'k', 'M', 'G'], '');
  }

  /** A size in bytes: `12 B`, `2.1 kB`, `4.7 GB`. */
  bytes(value: number): string {
    return this._scaled(value, 1000, ['B', 'kB', 'MB', 'GB', 'TB'], ' ');
  }

  /** A size of memory, as hubs and machines sell it: `640 MB`, `4 GB` of 1024³ bytes. */
  memory(value: number): string {
    return this._scaled(value, 1024, ['B', 'kB', 'MB', 'GB', 'TB'], ' ');
  }

  /** A context length in tokens, as models are sold: `8k` is 8192 of them, `128k` is 131,072 or 128,000. */
  context(tokens: number): string {
    const step = tokens % 1000 !== 0 && tokens % 1024 === 0 ? 1024 : 1000;
    return this._scaled(tokens, step, ['', 'k', 'M'], '');
  }

  duration(ms: number): string {
    const s = ms / 1000;
    if (s < 0.9995) {
      return this._trans.__('%1 ms', Math.round(ms));
    }
    if (s < MINUTE) {
      const digits = s < 9.95 ? 1 : 0;
      return this._trans.__('%1 s', this._rounded(s, digits));
    }
    const minutes = Math.floor(s / MINUTE);
    return this._trans.__('%1 min %2 s', minutes, Math.floor(s % MINUTE));
  }

  /** How long ago, in one unit. */
  ago(time: string, now = Date.now()): string {
    const s = Math.floor((now - Date.parse(time)) / 1000);
    // Less, also where the server's clock is ahead of ours.
    return s < 2 ? this._trans.__('now') : this._span(s);
  }

  /** How long ago, as a part of a sentence. */
  agoInWords(time: string, now = Date.now()): string {
    const s = Math.floor((now - Date.parse(time)) / 1000);
    return s < 2
      ? this._trans.__('just now')
      : this._trans.__('%1 ago', this._span(s));
  }

  /** How long until then, in one unit. */
  until(time: string, now = Date.now()): string {
    const s = Math.max(1, Math.ceil((Date.parse(time) - now) / 1000));
    // To the nearest: what ends in 9 days and 23 hours ends in 10 days.
    const unit = s < HOUR ? MINUTE : s < DAY ? HOUR : DAY;
    return this._span(s < MINUTE ? s : Math.round(s / unit) * unit);
  }

  /** Date and time in full. */
  absolute(time: string): string {
    return new Date(time).toLocaleString(this._locale, {
      dateStyle: 'medium',
      timeStyle: 'medium'
    });
  }

  private _span(s: number): string {
    if (s < MINUTE) {
      return this._trans.__('%1 s', s);
    }
    if (s < HOUR) {
      return this._trans.__('%1 min', Math.floor(s / MINUTE));
    }
    return s < DAY
      ? this._trans.__('%1 h', Math.floor(s / HOUR))
      : this._trans.__('%1 d', Math.floor(s / DAY));
  }

  private _scaled(
    value: number,
    step: number,
    units: readonly string[],
    gap: string
  ): string {
    let scaled = value;
    let unit = 0;
    while (Math.round(scaled) >= step && unit < units.length - 1) {
      scaled /= step;
      unit++;
    }
    const digits = unit > 0 && scaled < 9.95 ? 1 : 0;
    return `${this._rounded(scaled, digits)}${gap}${units[unit]}`;
  }

  private _rounded(value: number, maximumFractionDigits: number): string {
    return this._number(value, { maximumFractionDigits });
  }

  private _number(value: number, options: Intl.NumberFormatOptions): string {
    return value.toLocaleString(this._locale, options);
  }

  private _locale: string;
}
