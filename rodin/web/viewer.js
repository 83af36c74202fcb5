var RodinViewer=(function(A){"use strict";const ne={F32:{bytes:4,array:Float32Array},U8:{bytes:1,array:Uint8Array}};function re(t){const e=new DataView(t.buffer,t.byteOffset,t.byteLength),n=t.length<8?1/0:Number(e.getBigUint64(0,!0));if(8+n>t.length)throw new Error("the avatar is cut off");const r=JSON.parse(new TextDecoder().decode(t.subarray(8,8+n))),o=new Map;for(const[s,a]of Object.entries(r)){if(s==="__metadata__")continue;const{dtype:i,shape:u,data_offsets:[c,l]}=a,f=ne[i],h=u.reduce((d,p)=>d*p,1);if(f===void 0)throw new Error(`tensor ${s}: ${i} is not read here`);if(l-c!==h*f.bytes||8+n+l>t.length)throw new Error("the avatar is cut off");const g=t.slice(8+n+c,8+n+l);o.set(s,{shape:u,data:new f.array(g.buffer,0,h)})}return{tensors:o,metadata:r.__metadata__??{}}}const j="rodin-web-1";async function oe(t){const e=re(await ie(t));if(e.metadata.schema!==j)throw new Error(`the avatar's schema is not ${j}; export it again`);const n=JSON.parse(e.metadata.about??"{}"),[,r,o,s]=M(e,"planes"),a=e.tensors.has("palette")?le(S(e,"palette")):[];return{...n,height:o,width:s,planes:ae(C(e,"planes"),3*r,o,s),scale:S(e,"scale"),offset:S(e,"offset"),occupied:ce(C(e,"occupied"),n.cells**3),network:ue(e,n.decoder),palette:a}}function se(t){return Uint8Array.from(atob(t.trim()),e=>e.charCodeAt(0))}async function ie(t){const e=new Blob([t]).stream().pipeThrough(new DecompressionStream("gzip"));return new Uint8Array(await new Response(e).arrayBuffer())}function ae(t,e,n,r){const o=t.slice();for(let s=0;s<e;s++){const a=s*n*r;for(let i=a+r;i<a+n*r;i++)o[i]=o[i]+o[i-r]}return o}function ce(t,e){return Uint8Array.from({length:e},(n,r)=>t[r>>3]>>7-(r&7)&1)}function ue(t,e){const n=r=>{const[o,s]=M(t,`${r}.weight`),a=t.tensors.has(`${r}.bias`)?S(t,`${r}.bias`):new Float32Array(o);return{rows:o,columns:s,weight:S(t,`${r}.weight`),bias:a}};return{config:e,trunk:n("decoder.trunk"),density:n("decoder.density"),colour:Array.from({length:e.colour_layers+1},(r,o)=>n(`decoder.colour.${o}`)),direction:e.view_direction&&e.materials===0?n("decoder.direction"):null}}function M(t,e){const n=t.tensors.get(e);if(n===void 0)throw new Error(`the avatar lacks ${e}; export it again`);return n.shape}function S(t,e){return M(t,e),t.tensors.get(e).data}function C(t,e){return M(t,e),t.tensors.get(e).data}function le(t){return Array.from({length:t.length/3},(e,n)=>[t[3*n],t[3*n+1],t[3*n+2]])}function he(t,e){const n=t.azimuth*Math.PI/180,r=t.elevation*Math.PI/180,o=[Math.sin(n)*Math.cos(r),Math.sin(r),Math.cos(n)*Math.cos(r)],s=[Math.cos(n),0,-Math.sin(n)],a=[o[1]*s[2]-o[2]*s[1],o[2]*s[0]-o[0]*s[2],o[0]*s[1]-o[1]*s[0]];return{origin:[o[0]*e,o[1]*e,o[2]*e],axes:[...s,...a,...o]}}function fe(t,e){return .5*e/Math.tan(t*Math.PI/360)}const k=16;function de(t,e){const n=Uint8Array.from(t,o=>o?0:k),r=new Uint8Array(e);for(const[o,s]of[[1,[e,e*e]],[e,[1,e*e]],[e*e,[1,e]]])for(let a=0;a<e;a++)for(let i=0;i<e;i++)me(n,r,a*s[0]+i*s[1],o);return n}function me(t,e,n,r){const o=e.length;for(let s=0;s<o;s++)e[s]=t[n+s*r];for(let s=0;s<o;s++){let a=e[s];for(let i=1;i<a;i++){const u=s>=i?e[s-i]:k,c=s+i<o?e[s+i]:k;a=Math.min(a,Math.max(i,Math.min(u,c)))}t[n+s*r]=a}}const G=.01,pe=4e-4,$=128,$e=`#version 300 es
void main() { // one triangle over all of the picture
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
}`,P=`#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp sampler2DArray;
precision highp usampler2D;
`;function Y(t){const{y:e,h:n}=z(t);return`${P}${q(t)}
${t.palette.length>0?`uniform vec3 palette[${t.palette.length}];
uniform float shading; // 1, or 0 for shares alone`:""}
${ge(t)}
${V(t,Q(t),`vec4 ${n};
    float weight = 0.0;
    for (int sample_ = 0; sample_ < ${t.samples}; sample_++) {
      ${K(t)}
      if (index >= ${t.samples}) { weight = 0.0; break; }
      vec4 ${e};
      look(point, ${e});
      weight = through * (1.0 - exp(-bin * density(${e}, ${n})));
      through -= weight;
      index++;
      if (weight > ${m(pe)} || through < ${m(G)}) break;
    }
    seen += weight * painted(${n});`)}`}function H(t){return`${P}uniform sampler2DArray volume;
${V(t,"",`${K(t)}
    if (index >= ${t.samples}) break;
    vec3 at = point * 0.5 + 0.5;
    float height = clamp(at.z * ${m($)} - 0.5, 0.0, ${m($-1)});
    float below = floor(height);
    vec4 voxel = mix(texture(volume, vec3(at.xy, below)), texture(volume, vec3(at.xy, below + 1.0)), height - below);
    float weight = through * (1.0 - exp2(bin * ${m($/2)} * log2(max(1.0 - voxel.a, 1e-3))));
    seen += weight * voxel.rgb / max(voxel.a, 1e-3);
    through -= weight;
    index++;`)}`}function Ee(t){return t.palette.length>0?5+t.palette.length:4}function W(t,e,n){const{y:r,h:o}=z(t),s=t.palette.length,a=["shade * 0.5",...Array.from({length:s},(c,l)=>`w${l>>2}[${l&3}]`)];for(;a.length%4!==0;)a.push("0.0");const i=[`vec4(${s>0?`residual * ${m(.5/t.residual)} + 0.5`:"colour"}, opacity)`];if(s>0)for(let c=0;c<a.length;c+=4)i.push(`vec4(${a.slice(c,c+4).join(", ")})`);const u=i.slice(e,e+n);return`${P}${u.map((c,l)=>`layout(location = ${l}) out vec4 number${l};`).join(`
`)}
uniform usampler2D voxels;
${q(t)}
void main() {
  vec3 point = (vec3(texelFetch(voxels, ivec2(gl_FragCoord.xy), 0).xyz) + 0.5) * ${m(2/$)} - 1.0;
  vec3 direction = -normalize(point);
  ${Q(t)}
  vec4 ${r};
  look(point, ${r});
  vec4 ${o};
  float opacity = 1.0 - exp(${m(-2/$)} * density(${r}, ${o}));
  ${Z(t)}
${u.map((c,l)=>`  number${l} = ${c};`).join(`
`)}
}`}function V(t,e,n){const r=t.samples;return`
out vec4 drawn;
uniform sampler3D empty;
uniform vec3 origin;
uniform mat3 axes;
uniform vec3 lens; // principal point and focal length in pixels
float away(vec3 point) { // cells to the nearest one that matters
  ivec3 cell = clamp(ivec3((point + 1.0) * ${m(t.cells/2)}), 0, ${t.cells-1});
  return texelFetch(empty, cell.zyx, 0).r * 255.0;
}
void main() {
  vec3 direction = normalize(axes * vec3((gl_FragCoord.xy - lens.xy) / lens.z, -1.0));
  vec3 inverse = 1.0 / mix(direction, vec3(1e-9), lessThan(abs(direction), vec3(1e-9)));
  vec3 low = (-1.0 - origin) * inverse, high = (1.0 - origin) * inverse;
  vec3 first = min(low, high), last = max(low, high);
  float near = max(max(first.x, first.y), max(first.z, 0.0));
  float far = min(last.x, min(last.y, last.z));
  float bin = (far - near) / ${m(r)};
  vec3 along = abs(direction);
  float crossing = ${m(2/t.cells)} / (bin * max(along.x, max(along.y, along.z))); // bins that cross a cell
  ${e}
  vec3 seen = vec3(0.0), point = vec3(0.0);
  float through = 1.0;
  int index = far > near ? 0 : ${r};
  for (int turn = 0; turn < ${r}; turn++) {
    ${n}
    if (index >= ${r} || through < ${m(G)}) break;
  }
  float alpha = through < ${m(G)} ? 1.0 : 1.0 - through;
  drawn = vec4(clamp(seen * (alpha / max(1.0 - through, 1e-6)), 0.0, alpha), alpha);
}`}function K(t){return`for (int step_ = 0; step_ < ${t.samples}; step_++) {
      point = origin + (near + (float(index) + 0.5) * bin) * direction;
      float cells = away(point);
      if (cells < 0.5 || index >= ${t.samples}) break;
      index += 1 + int(max((cells - 1.0) * crossing - 1e-3, 0.0));
    }`}function z(t){return{y:_("y",x(t.decoder.channels)),h:_("h",x(t.decoder.hidden))}}function q(t){const{config:e,trunk:n,density:r}=t.network,o=x(e.channels),s=x(e.hidden),a=_("y",o),i=_("h",s),u=x(e.channels),c=a.split(", ").map((d,p)=>{const w=R=>m(R*u+p),E=[0,1,2,3].map(R=>255*(t.scale[4*p+R]??0)),T=[0,1,2,3].map(R=>3*(t.offset[4*p+R]??0));return`  ${d} = (texture(planes, vec3(at.yx, ${w(0)})) + texture(planes, vec3(at.xz, ${w(1)}))
    + texture(planes, vec3(at.zy, ${w(2)}))) * ${B(E)} + ${B(T)};`}),l=e.activation==="silu"?"x / (1.0 + exp(-x))":"max(x, 0.0) + log(1.0 + exp(-abs(x)))",f=Array.from({length:e.frequencies},(d,p)=>2**p),h=d=>we(n,e.channels,d),g=[b(h(d=>d),"y","h",!0)];return f.forEach((d,p)=>{const w=e.frequencies;for(const[E,T]of[["sin",0],["cos",1]]){const R=Array.from({length:o},(U,D)=>`  vec4 ${E}${p}_${D} = ${E}(y${D} * ${m(d)});`),y=U=>e.channels*(1+T*w)+U*w+p;g.push(`${R.join(`
`)}
${b(h(y),`${E}${p}_`,"h",!1)}`)}}),`
uniform sampler2DArray planes;
vec4 activate(vec4 x) { return ${l}; }
float softplus(float x) { return max(x, 0.0) + log(1.0 + exp(-abs(x))); }
void look(vec3 point, ${te("y",o)}) {
  vec3 at = point * 0.5 + 0.5;
${c.join(`
`)}
}
float density(${ee("y",o)}, ${te("h",s)}) {
${g.join(`
`)}
${i.split(", ").map(d=>`  ${d} = activate(${d});`).join(`
`)}
  float raw = ${m(r.bias[0]+e.density_shift)}${i.split(", ").map((d,p)=>` + dot(${d}, ${B(xe(r,0,p))})`).join("")};
  return ${m(e.density_scale)} * softplus(raw);
}
${Te(t)}`}const J=`vec4 basis0 = vec4(direction, direction.x * direction.y);
  vec4 basis1 = vec4(direction.yz * direction.zx, direction.x * direction.x - direction.y * direction.y, 3.0 * direction.z * direction.z - 1.0);`;function Te(t){const{config:e,direction:n}=t.network;return n!==null?`vec4 ${_("turn",x(e.hidden))};`:e.view_direction?"vec4 basis0, basis1;":""}function Q(t){const{config:e,direction:n}=t.network;return e.view_direction?n===null?J.replaceAll("vec4 basis","basis"):`{ ${J}
${b(n,"basis","turn",!0)} }`:""}function Z(t){const{config:e,colour:n,direction:r}=t.network,o=x(e.hidden),s=n[n.length-1],a=[];if(r!==null)for(let c=0;c<o;c++)a.push(`  h${c} += turn${c};`);if(n.slice(0,-1).forEach((c,l)=>{a.push(`  vec4 ${_(`c${l}_`,o)};`,b(c,"h",`c${l}_`,!0));for(let f=0;f<o;f++)a.push(`  h${f} = activate(c${l}_${f});`)}),e.materials===0)return a.push("  vec4 raw0;",b(F(s,0,3),"h","raw",!0)),a.push("  vec3 colour = 1.0 / (1.0 + exp(-raw0.rgb));"),a.join(`
`);const i=e.materials,u=x(i);a.push(`  vec4 ${_("w",u)};`,b(F(s,0,i),"h","w",!0));for(let c=i;c<4*u;c++)a.push(`  w${c>>2}[${c&3}] = -1e30;`);a.push(`  vec4 most = ${Re("max","w",u)};`),a.push("  float top = max(max(most.x, most.y), max(most.z, most.w));");for(let c=0;c<u;c++)a.push(`  w${c} = exp(w${c} - top);`);a.push(`  float all = dot(${Array.from({length:u},(c,l)=>`w${l}`).join(" + ")}, vec4(1.0));`);for(let c=0;c<u;c++)a.push(`  w${c} /= all;`);if(a.push("  vec4 rest0;",b(F(s,i,i+4),"h","rest",!0)),e.view_direction){const c=F(s,i+4,i+12);a.push("  vec4 turns0, turns1;",b(c,"h","turns",!0)),a.push("  rest0.w += dot(turns0, basis0) + dot(turns1, basis1);")}return a.push(`  vec3 residual = ${m(t.residual)} * tanh(clamp(rest0.xyz, -15.0, 15.0));`),a.push(`  float shade = softplus(rest0.w) * ${m(1/Math.LN2)};`),a.join(`
`)}function ge(t){const e=t.palette.map((n,r)=>`w${r>>2}[${r&3}] * palette[${r}]`).join(" + ");return`vec3 painted(${ee("h",x(t.decoder.hidden))}) {
${Z(t)}
  return ${e===""?"colour":`mix(1.0, shade, shading) * (${e}) + shading * residual`};
}`}function b(t,e,n,r){const o=[];for(let s=0;s<x(t.rows);s++){const a=r?[B([0,1,2,3].map(i=>t.bias[4*s+i]??0))]:[`${n}${s}`];for(let i=0;i<x(t.columns);i++){const u=[0,1,2,3].flatMap(c=>[0,1,2,3].map(l=>L(t,4*s+l,4*i+c)));u.some(c=>c!==0)&&a.push(`mat4(${u.map(m).join(",")}) * ${e}${i}`)}o.push(`  ${n}${s} = ${a.join(`
    + `)};`)}return o.join(`
`)}function L(t,e,n){return e<t.rows&&n<t.columns?t.weight[e*t.columns+n]:0}function xe(t,e,n){return[0,1,2,3].map(r=>L(t,e,4*n+r))}function F(t,e,n){return{rows:n-e,columns:t.columns,weight:t.weight.subarray(e*t.columns,n*t.columns),bias:t.bias.subarray(e,n)}}function we(t,e,n){const r=new Float32Array(t.rows*e);for(let o=0;o<t.rows;o++)for(let s=0;s<e;s++)r[o*e+s]=L(t,o,n(s));return{rows:t.rows,columns:e,weight:r,bias:t.bias}}function x(t){return Math.ceil(t/4)}function _(t,e){return Array.from({length:e},(n,r)=>`${t}${r}`).join(", ")}function ee(t,e){return _(`vec4 ${t}`,e)}function te(t,e){return _(`out vec4 ${t}`,e)}function Re(t,e,n){return Array.from({length:n-1},(r,o)=>o+1).reduce((r,o)=>`${t}(${r}, ${e}${o})`,`${e}0`)}function B(t){return`vec4(${t.map(m).join(",")})`}function m(t){const e=Math.fround(t).toPrecision(9);return e.includes("e")?e:e.replace(/\.?0+$/,n=>n.startsWith(".")?".0":"").replace(/^(-?\d+)$/,"$1.0")}function _e(t){const{cells:e,occupied:n}=t,r=a=>Math.min(Math.max(Math.floor(a*e/$),0),e-1),o=Array.from({length:$},(a,i)=>[r(i-1),r(i+1)]),s=[];for(let a=0;a<$;a++)for(let i=0;i<$;i++)for(let u=0;u<$;u++){let c=0;for(const l of o[a])for(const f of o[i])for(const h of o[u])c|=n[(l*e+f)*e+h];c&&s.push(a,i,u,0)}return Uint8Array.from(s)}function Ae(t,e,n,r,o,s){const a=r.map(u=>u.map(c=>c*255)),[i]=n;for(let u=0;u<e.length;u+=4){const c=i[u+3];if(c===0)continue;let l=i[u],f=i[u+1],h=i[u+2];if(r.length>0){let p=0,w=0,E=0;for(let y=0;y<r.length;y++){const U=n[1+(y+1>>2)][u+(y+1&3)];if(U===0)continue;const D=a[y];p+=U*D[0],w+=U*D[1],E+=U*D[2]}const T=(o?2*n[1][u]:255)/65025,R=o?2*t.residual:0;l=T*p+R*(l-127.5),f=T*w+R*(f-127.5),h=T*E+R*(h-127.5)}const g=4*((e[u+2]*$+e[u+1])*$+e[u]),d=c/255;s[g]=O(l*d,c),s[g+1]=O(f*d,c),s[g+2]=O(h*d,c),s[g+3]=c}}function O(t,e){return t<=0?0:Math.min(e,t+.5)}const be=2**17,v=1024;class ve{constructor(e,n){this.canvas=e,this.avatar=n;const r=e.getContext("webgl2",{antialias:!1,depth:!1,powerPreference:"high-performance"});if(r===null)throw new Error("this browser has no WebGL 2; turn on hardware acceleration, or try another");this.gl=r,r.pixelStorei(r.UNPACK_ALIGNMENT,1),this.planes=ye(r,n),this.empty=r.createTexture(),r.activeTexture(r.TEXTURE1),r.bindTexture(r.TEXTURE_3D,this.empty),r.texStorage3D(r.TEXTURE_3D,1,r.R8,n.cells,n.cells,n.cells),X(r,r.TEXTURE_3D,r.NEAREST);const o=de(n.occupied,n.cells);r.texSubImage3D(r.TEXTURE_3D,0,0,0,0,n.cells,n.cells,n.cells,r.RED,r.UNSIGNED_BYTE,o),this.colours=n.palette}gl;programs=new Map;planes;empty;volume=null;baked=null;fresh=!1;colours;shading=1;paint(e,n){this.colours=e,this.shading=n?1:0,this.fresh=!1}draw(e,n){this.prepare(n),this.gl.bindFramebuffer(this.gl.FRAMEBUFFER,null),this.aim(e,n,this.canvas.width,this.canvas.height),this.gl.drawArrays(this.gl.TRIANGLES,0,3)}async picture(e,n,r){const{gl:o}=this;this.prepare(n);const s=N(o,o.RGBA8,r,r),a=o.createFramebuffer(),i=Math.max(1,Math.floor(be/r)),u=new Uint8Array(4*r*r);try{for(let c=0;c<r;c+=i){const l=Math.min(i,r-c);o.bindFramebuffer(o.FRAMEBUFFER,a),o.framebufferTexture2D(o.FRAMEBUFFER,o.COLOR_ATTACHMENT0,o.TEXTURE_2D,s,0),this.aim(e,n,r,r),o.enable(o.SCISSOR_TEST),o.scissor(0,c,r,l),o.drawArrays(o.TRIANGLES,0,3),o.disable(o.SCISSOR_TEST);const f=u.subarray(4*r*c,4*r*(c+l));o.readPixels(0,c,r,l,o.RGBA,o.UNSIGNED_BYTE,f),await new Promise(h=>setTimeout(h))}}finally{o.deleteFramebuffer(a),o.deleteTexture(s)}return De(u,r)}time(e,n,r){const{gl:o}=this,s=N(o,o.RGBA8,r,r),a=o.createFramebuffer();this.prepare(n),o.bindFramebuffer(o.FRAMEBUFFER,a),o.framebufferTexture2D(o.FRAMEBUFFER,o.COLOR_ATTACHMENT0,o.TEXTURE_2D,s,0);const i=()=>{const c=performance.now();return this.aim(e,n,r,r),o.drawArrays(o.TRIANGLES,0,3),o.readPixels(0,0,1,1,o.RGBA,o.UNSIGNED_BYTE,new Uint8Array(4)),performance.now()-c};i();const u=Math.min(i(),i());return o.deleteFramebuffer(a),o.deleteTexture(s),u}dispose(){const{gl:e}=this;for(const{program:n}of this.programs.values())e.deleteProgram(n);for(const n of[this.planes,this.empty,this.volume])e.deleteTexture(n);this.programs.clear(),this.volume=null}prepare(e){if(e==="exact"||this.fresh)return;const{gl:n}=this;this.baked??=this.bake();const{voxels:r,numbers:o,volume:s}=this.baked;Ae(this.avatar,r,o,this.colours,this.shading===1,s),n.activeTexture(n.TEXTURE2),this.volume===null&&(this.volume=n.createTexture(),n.bindTexture(n.TEXTURE_2D_ARRAY,this.volume),n.texStorage3D(n.TEXTURE_2D_ARRAY,1,n.RGBA8,$,$,$),X(n,n.TEXTURE_2D_ARRAY,n.LINEAR)),n.bindTexture(n.TEXTURE_2D_ARRAY,this.volume),n.texSubImage3D(n.TEXTURE_2D_ARRAY,0,0,0,0,$,$,$,n.RGBA,n.UNSIGNED_BYTE,s),this.fresh=!0}bake(){const{gl:e,avatar:n}=this,r=_e(n),o=r.length/4,s=Math.max(1,Math.ceil(o/v)),a=new Uint8Array(4*v*s);a.set(r);const i=N(e,e.RGBA8UI,v,s);e.texSubImage2D(e.TEXTURE_2D,0,0,0,v,s,e.RGBA_INTEGER,e.UNSIGNED_BYTE,a);const u=Math.ceil(Ee(n)/4),c=Math.min(u,e.getParameter(e.MAX_DRAW_BUFFERS)),l=[],f=e.createFramebuffer();e.bindFramebuffer(e.FRAMEBUFFER,f);for(let h=0;h<u;h+=c){const g=Math.min(c,u-h),d=Array.from({length:g},()=>N(e,e.RGBA8,v,s)),p=d.map((E,T)=>e.COLOR_ATTACHMENT0+T);d.forEach((E,T)=>{e.framebufferTexture2D(e.FRAMEBUFFER,p[T],e.TEXTURE_2D,E,0)}),e.drawBuffers(p);const{place:w}=this.use(`bake ${h}`,()=>W(n,h,g));I(e,3,e.TEXTURE_2D,i,w("voxels")),e.viewport(0,0,v,s),e.drawArrays(e.TRIANGLES,0,3);for(const E of p){const T=new Uint8Array(4*v*s);e.readBuffer(E),e.readPixels(0,0,v,s,e.RGBA,e.UNSIGNED_BYTE,T),l.push(T)}d.forEach(E=>e.deleteTexture(E))}return e.deleteFramebuffer(f),e.deleteTexture(i),{voxels:r,numbers:l,volume:new Uint8Array(4*$**3)}}aim(e,n,r,o){const{gl:s,avatar:a}=this,{place:i}=this.use(n,n==="exact"?Y:H),{origin:u,axes:c}=he(e,a.camera.radius),l=Math.min(r,o);s.viewport(0,0,r,o),s.uniform3f(i("origin"),...u),s.uniformMatrix3fv(i("axes"),!1,c),s.uniform3f(i("lens"),r/2+e.shift[0]*l,o/2+e.shift[1]*l,fe(a.camera.fov_deg,e.zoom)*l),n==="exact"&&this.colour(i)}colour(e){this.colours.length!==0&&(this.gl.uniform3fv(e("palette"),this.colours.flat()),this.gl.uniform1f(e("shading"),this.shading))}use(e,n){const{gl:r}=this;let o=this.programs.get(e);if(o===void 0){const s=Ue(r,n(this.avatar)),a=new Map;o={program:s,place:i=>(a.has(i)||a.set(i,r.getUniformLocation(s,i)),a.get(i))},this.programs.set(e,o)}return r.useProgram(o.program),r.disable(r.BLEND),I(r,0,r.TEXTURE_2D_ARRAY,this.planes,o.place("planes")),I(r,1,r.TEXTURE_3D,this.empty,o.place("empty")),e==="baked"&&I(r,2,r.TEXTURE_2D_ARRAY,this.volume,o.place("volume")),o}}function I(t,e,n,r,o){t.activeTexture(t.TEXTURE0+e),t.bindTexture(n,r),t.uniform1i(o,e)}function ye(t,e){const{height:n,width:r,decoder:{channels:o}}=e,s=Math.ceil(o/4),a=new Uint8Array(3*s*n*r*4);for(let u=0;u<3;u++)for(let c=0;c<o;c++){const l=(u*o+c)*n*r,f=(u*s+(c>>2))*n*r*4+(c&3);for(let h=0;h<n*r;h++)a[f+4*h]=e.planes[l+h]}const i=t.createTexture();return t.activeTexture(t.TEXTURE0),t.bindTexture(t.TEXTURE_2D_ARRAY,i),t.texStorage3D(t.TEXTURE_2D_ARRAY,1,t.RGBA8,r,n,3*s),t.texSubImage3D(t.TEXTURE_2D_ARRAY,0,0,0,0,r,n,3*s,t.RGBA,t.UNSIGNED_BYTE,a),X(t,t.TEXTURE_2D_ARRAY,t.LINEAR),i}function N(t,e,n,r){const o=t.createTexture();return t.activeTexture(t.TEXTURE3),t.bindTexture(t.TEXTURE_2D,o),t.texStorage2D(t.TEXTURE_2D,1,e,n,r),X(t,t.TEXTURE_2D,t.NEAREST),o}function X(t,e,n){t.texParameteri(e,t.TEXTURE_MIN_FILTER,n),t.texParameteri(e,t.TEXTURE_MAG_FILTER,n);for(const r of[t.TEXTURE_WRAP_S,t.TEXTURE_WRAP_T,t.TEXTURE_WRAP_R])t.texParameteri(e,r,t.CLAMP_TO_EDGE)}function Ue(t,e){const n=t.createProgram();for(const[r,o]of[[t.VERTEX_SHADER,$e],[t.FRAGMENT_SHADER,e]]){const s=t.createShader(r);if(t.shaderSource(s,o),t.compileShader(s),!t.getShaderParameter(s,t.COMPILE_STATUS)&&!t.isContextLost())throw new Error(`the graphics driver refuses a shader: ${t.getShaderInfoLog(s)}`);t.attachShader(n,s),t.deleteShader(s)}if(t.linkProgram(n),!t.getProgramParameter(n,t.LINK_STATUS)&&!t.isContextLost())throw new Error(`the graphics driver refuses a program: ${t.getProgramInfoLog(n)}`);return n}function De(t,e){const n=new Uint8ClampedArray(t.length);for(let r=0;r<e;r++)for(let o=4*e*(e-1-r),s=4*e*r,a=s+4*e;s<a;o+=4,s+=4){const i=t[o+3];for(let u=0;u<3;u++)n[s+u]=i===0?0:255*t[o+u]/i;n[s+3]=i}return n}return A.Renderer=ve,A.bakeFragment=W,A.bakedFragment=H,A.exactFragment=Y,A.fromBase64=se,A.readAvatar=oe,Object.defineProperty(A,Symbol.toStringTag,{value:"Module"}),A})({});
