"""How the panel looks: the notebook's own colours, light and dark, narrow and wide."""

from __future__ import annotations

#: The usual is the middle of a bar, marked by a thin line.
CSS = """
.domo-panel{
--ink:var(--jp-ui-font-color1,currentColor);--quiet:var(--jp-ui-font-color2,currentColor);
--line:var(--jp-border-color2,#8884);--good:var(--jp-success-color1,#2e8b57);
--bad:var(--jp-error-color1,#c8442f);--odd:var(--jp-warn-color1,#d97706);
--busy:var(--jp-brand-color1,#3b82c4);
--track:var(--jp-layout-color3,#8883);padding:2px;color:var(--ink);
font:var(--jp-ui-font-size1,13px)/1.45 var(--jp-ui-font-family,system-ui,sans-serif)}
.domo-panel .widget-html-content{font-size:inherit;line-height:inherit}
.domo-snapshot{display:none}
.domo-panel .unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
.domo-runs,.domo-side{container-type:inline-size}
.domo-panel table{width:100%;border-collapse:collapse;table-layout:fixed;font-variant-numeric:tabular-nums;
color:var(--ink);margin:0}
.domo-panel th,.domo-panel td{padding:5px 10px 5px 0;text-align:left;vertical-align:top;font-weight:normal;
border-bottom:1px solid var(--line);overflow-wrap:break-word;line-height:1.4}
.domo-panel thead th{color:var(--quiet);border-bottom-width:2px;padding-top:2px}
.domo-panel tbody th{font-weight:600}
.domo-panel small{display:block;font-size:.92em;font-weight:normal;color:var(--quiet)}
.domo-panel em{font-style:normal;font-weight:600;color:color-mix(in srgb,var(--bad) 75%,var(--ink))}
.domo-panel em.unusual{color:color-mix(in srgb,var(--odd) 75%,var(--ink))}
.domo-runs tr>:nth-child(5){text-align:right;padding-right:16px;white-space:nowrap}
.domo-panel i{font-style:normal;font-weight:700;display:inline-block;width:1.2em}
.domo-panel .stopped{color:var(--quiet)}
.domo-panel .good{color:color-mix(in srgb,var(--good) 75%,var(--ink))}
.domo-panel .bad{color:color-mix(in srgb,var(--bad) 80%,var(--ink))}
.domo-panel .running{color:color-mix(in srgb,var(--busy) 80%,var(--ink))}
.domo-runs b{display:block;height:4px;max-width:88px;margin-top:5px;border-radius:2px;background:
linear-gradient(var(--ink),var(--ink)) 50%/2px 100% no-repeat,
linear-gradient(var(--busy),var(--busy)) 0/var(--w) 100% no-repeat,var(--track)}
.domo-runs tbody tr:last-child>*{border-bottom:0}
.domo-scroll{border-bottom:1px solid var(--line);scrollbar-gutter:stable;scrollbar-width:thin;
overflow-x:hidden}
.domo-panel .domo-choose{flex-direction:column;height:auto;align-items:stretch}
.domo-panel .domo-choose .widget-label{width:auto;text-align:left;height:auto;line-height:1.4;
padding:2px 0 5px;margin:0}
.domo-panel .domo-choose select{font:inherit;line-height:1.5;flex:0 0 auto;color:var(--ink);
width:100%;min-width:0;max-height:480px}
.domo-panel .domo-choose option{white-space:normal;overflow-wrap:break-word;padding:1px 2px}
.domo-panel p{margin:4px 0}
.domo-line{color:var(--quiet);min-height:1.45em;margin:4px 0;display:flex;flex-wrap:wrap;gap:2px 18px;
justify-content:space-between}
.domo-line b{display:inline-block;width:2px;height:.8em;background:var(--ink);margin-right:.5em}
.domo-error{border-left:3px solid var(--bad);padding:4px 0 4px 10px;margin:4px 0;white-space:pre-wrap;
overflow-wrap:anywhere}
.domo-panel .domo-code{margin:4px 0;padding:8px 10px;background:var(--jp-cell-editor-background,#8881);
border:1px solid var(--line);overflow-wrap:anywhere;word-break:normal;white-space:pre-wrap;user-select:all;
color:var(--ink);
font:var(--jp-code-font-size,13px)/1.45 var(--jp-code-font-family,monospace)}
.domo-panel h4{margin:8px 0 4px;font-size:1em;font-weight:600;color:var(--ink)}
.domo-plot{container-type:inline-size}
.domo-panel img{width:100%;height:auto;display:block}
.domo-panel .slim{display:none}
.domo-panel .widget-label{color:var(--ink)}
.domo-side col:first-child{width:10em}
.domo-side tbody th{font-weight:normal;color:var(--quiet)}
@container (max-width:620px){
.domo-panel .wide{display:none}
.domo-panel .slim{display:block}
.domo-runs thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.domo-runs table,.domo-runs tbody{display:block}
.domo-runs tbody tr{display:grid;grid-template-columns:1fr 1fr;gap:2px 12px;padding:7px 0;
border-bottom:1px solid var(--line)}
.domo-runs tbody tr>*{border:0;padding:0;text-align:left!important}
.domo-runs tr>:nth-child(1),.domo-runs tr>:nth-child(6){grid-column:1/-1}
.domo-runs tr>:nth-child(7):empty{display:none}
.domo-runs td:nth-child(5)::after{content:" rows"}
.domo-runs th br{display:none}
.domo-runs th small{display:inline;margin-left:.6em}
}
"""
