/** A filter in MLflow's words for runs whose names hold these; none for no words. */
export function filterFor(words: string): string {
  const wanted = words.trim().replace(/['\\%]/g, '');
  return wanted ? `attributes.run_name ILIKE '%${wanted}%'` : '';
}
