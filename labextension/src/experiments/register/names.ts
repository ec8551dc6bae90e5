/** MLflow's own limits: no name with these, and no alias that looks like a version. */
const NAME = /^[^/:]{1,256}$/;
const ALIAS = /^(?!v?\d+$|latest$)[\w-]{1,255}$/i;

/** Whether MLflow takes it as the name of a model. */
export function isModelName(name: string): boolean {
  return NAME.test(name.trim()) && name.trim() !== '';
}

/** Whether MLflow takes it as an alias. */
export function isAlias(alias: string): boolean {
  return ALIAS.test(alias.trim());
}
