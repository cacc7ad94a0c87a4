// Times in the reader's own zone. Without this script every page works the same and shows UTC.
const styles = {
  moment: { dateStyle: "medium", timeStyle: "short" },
  date: { dateStyle: "medium" },
  day: { day: "numeric", month: "short" },
  clock: { hour: "2-digit", minute: "2-digit" },
};
for (const element of document.querySelectorAll("time[datetime][data-local]")) {
  const moment = new Date(element.dateTime);
  const style = styles[element.dataset.local];
  if (style && !Number.isNaN(moment.getTime())) {
    element.textContent = new Intl.DateTimeFormat(document.documentElement.lang, style).format(moment);
  }
}
